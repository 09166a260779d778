import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { BackendFact, RunEnvironment, TestRecord } from './proof-model.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const TOOLS: Readonly<Record<string, readonly string[]>> = {
  'c++': ['--version'],
  fsverity: ['--version'],
  nvcc: ['--version'],
  strace: ['--version'],
  'nvidia-smi': ['--query-gpu=name,driver_version', '--format=csv,noheader'],
};
/** What variables of these may say is harmless; the rest could hold paths. */
const WORD = /^[a-z0-9-]{1,32}$/i;
const REAL_ADAPTER = 'hardware';

function output(command: string, ...args: readonly string[]): string | null {
  try {
    return execFileSync(command, [...args], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 60_000,
    }).trim();
  } catch {
    // Not there, or not able to answer: to the bundle that is the same.
    return null;
  }
}

/** Of what a program says about itself, the first line with a version in it. */
function versionLine(text: string | null): string | null {
  return text === null ? null : (text.split('\n').find((line) => /\d\.\d/.test(line)) ?? 'present');
}

/** What is known before the first test. */
export function environmentAtStart(): Pick<
  RunEnvironment,
  'commit' | 'changed' | 'tools' | 'variables' | 'startedAt'
> {
  const commit = output('git', 'rev-parse', 'HEAD');
  const status = output('git', 'status', '--porcelain');
  return {
    commit,
    changed: commit === null || status === null ? null : status !== '',
    tools: Object.fromEntries(
      Object.entries(TOOLS).map(([tool, args]) => [tool, versionLine(output(tool, ...args))]),
    ),
    variables: Object.fromEntries(
      Object.entries(process.env)
        .filter(([name]) => name.startsWith('VRAM_RESIDENCY_') && name !== 'VRAM_RESIDENCY_PROOF_DIRECTORY')
        .map(([name, value]) => [name, WORD.test(value ?? '') ? (value ?? '') : 'set']),
    ),
    startedAt: new Date().toISOString(),
  };
}

export function machineFacts(): Pick<
  RunEnvironment,
  'version' | 'node' | 'platform' | 'arch' | 'cpu' | 'cores' | 'memoryBytes'
> {
  const { version }: { version: string } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
  return {
    version,
    node: process.version,
    platform: process.platform,
    arch: process.arch,
    cpu: cpus()[0]?.model ?? 'not known',
    cores: cpus().length,
    memoryBytes: totalmem(),
  };
}

/** The adapter that test processes find, asked in a process of its own, as each of them does. */
export function probeAdapter(): { adapter: string; description: string } | null {
  const script =
    "import('./test/support/vulkan.mjs').then(async (v) => { console.log('\\n' + JSON.stringify(await " +
    'v.prepareVulkan())); process.exit(0); })';
  const last = output(process.execPath, '--input-type=module', '-e', script)?.split('\n').at(-1);
  return last === undefined ? null : JSON.parse(last);
}

/** What each backend was, from the probe and from what the tests' own names say. Unknown is never taken for hardware. */
export function backendFacts(
  probe: { adapter: string; description: string } | null,
  tests: readonly TestRecord[],
): Record<TestRecord['backend'], BackendFact> {
  const named = new Set<string>();
  for (const { suites, name, outcome } of tests) {
    if (outcome === 'skipped') continue;
    for (const text of [...suites, name]) {
      const adapter = /webgpu on ([a-z]+)/.exec(text)?.[1];
      if (adapter !== undefined) named.add(adapter);
    }
  }
  return {
    none: { execution: 'no device', description: 'code that needs no device' },
    host: {
      execution: 'host memory',
      description: 'the host backend: the CPU hashes ordinary memory, no GPU',
    },
    webgpu: webGpuFact(probe, named),
    page: {
      execution: 'not known',
      description: 'the adapter that the browser gave the page; the console line of the page tests names it',
    },
    cuda: {
      execution: 'emulated',
      description:
        "the project's own test driver behind the real addon: it interprets the shipped PTX on the CPU, no NVIDIA GPU",
    },
  };
}

function webGpuFact(
  probe: { adapter: string; description: string } | null,
  named: ReadonlySet<string>,
): BackendFact {
  if (probe === null) return { execution: 'not known', description: 'the adapter could not be asked for' };
  const others = [...named].filter((adapter) => adapter !== probe.adapter);
  if (others.length > 0) {
    return {
      execution: 'not known',
      description: `tests ran on ${[...named].join(', ')}, a later question found ${probe.adapter}`,
    };
  }
  if (probe.adapter === 'host') return { execution: 'host memory', description: probe.description };
  return {
    execution: probe.adapter === REAL_ADAPTER ? 'real hardware' : 'software',
    description: `${probe.adapter}: ${probe.description}`,
  };
}
