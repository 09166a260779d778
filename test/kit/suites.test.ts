// The suites of the hardware kit exactly as they run there, pointed at the test driver by VRAM_RESIDENCY_LIBCUDA. Its
// controls and accounts are refused, since a real driver has none. Without a GPU this is the best proof there is; it says
// nothing about one.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleSuites } from '../../scripts/kit/suites/bundle.mjs';
import expected from '../../scripts/kit/suites/expected-skips.json' with { type: 'json' };
import { contractCases } from '../contract/cases.js';
import { cudaTestbed } from '../support/cuda.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const GROUPS = ['context', 'allocation', 'memory-operations', 'bounds', 'memory-information', 'resources'];
const ONE_CASE = ['--only', contractCases[0]?.name ?? ''];
/** For a suite in a process of its own, on a busy machine. */
const LIMIT_MS = 180_000;

const bed = await cudaTestbed();
const folder = mkdtempSync(join(tmpdir(), 'vram-suites-'));
const program = join(folder, 'suites.mjs');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | string | null | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

function start(file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { cwd: folder, env: { ...process.env, ...env }, timeout: LIMIT_MS };
    execFile(execPath, [file, ...args], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr });
    });
  });
}

/** The program over the test driver, with what it printed as JSON. */
async function suite(...args: readonly string[]): Promise<{ code: Ended['code']; result: unknown }> {
  if (bed.missing !== null) throw new Error(bed.missing);
  const env = { VRAM_RESIDENCY_LIBCUDA: bed.libraryPath };
  // Relative, as a shell script would give it.
  const addon = relative(folder, bed.addonPath);
  const { code, stdout } = await start(program, [...args, '--addon', addon, '--json'], env);
  return { code, result: JSON.parse(stdout) };
}

function named(skips: Readonly<Record<string, string>>): { name: string; reason: string }[] {
  return Object.entries(skips).map(([name, reason]) => ({ name, reason }));
}

describe('suites of the hardware kit', { timeout: LIMIT_MS }, () => {
  if (bed.missing !== null) {
    it.skip(`NOT RUN: ${bed.missing}`);
    return;
  }
  const { addonPath, libraryPath } = bed;

  beforeAll(() => bundleSuites({ outfile: program, dist: new URL('../../dist/', import.meta.url).href }));

  it('contract: exactly the expected cases are skipped, and every other one passes', async () => {
    const { code, result } = await suite('contract');
    const skipped = named(expected.contract);
    expect(result).toMatchObject({
      suite: 'contract',
      total: contractCases.length + 1,
      passed: contractCases.length + 1 - skipped.length,
      failed: [],
      skipped,
      unexpected: [],
      device: { index: 0, execution: 'emulated' },
    });
    expect(code).toBe(0);
  });

  it('groups: the cases are those of vitest; exactly the expected ones are skipped, every other one passes', async () => {
    const files = GROUPS.map((group) => `test/cuda/${group}.test.ts`);
    const listing = join(folder, 'listed.json');
    const vitest = join(root, 'node_modules/vitest/vitest.mjs');
    await start(vitest, ['list', '--root', root, `--json=${listing}`, ...files]);
    const { default: listed }: { default: unknown } = await import(listing, { with: { type: 'json' } });
    if (!Array.isArray(listed)) throw new Error('vitest listed nothing');

    const { code, result } = await suite('groups');
    const skipped = named(expected.groups);
    expect(result).toMatchObject({
      suite: 'groups',
      total: listed.length,
      passed: listed.length - skipped.length,
      failed: [],
      skipped,
      unexpected: [],
    });
    expect(code).toBe(0);
    const names = listed.map((test: unknown) => nameOf(test));
    expect(names).toEqual(expect.arrayContaining(skipped.map(({ name }) => name)));
  });

  it('a driver call that fails is a failed case, and the exit code is 1', async () => {
    // Loaded first, into the program's own process. Opening the device takes six mappings; the case makes the others.
    const preload = join(folder, 'preload.mjs');
    writeFileSync(
      preload,
      `const control = { exports: {} };
      process.dlopen(control, ${JSON.stringify(libraryPath)});
      control.exports.failCall('cuMemMap', 8, 1);`,
    );
    const { code, stdout } = await start(program, ['contract', ...ONE_CASE, '--addon', addonPath, '--json'], {
      VRAM_RESIDENCY_LIBCUDA: libraryPath,
      NODE_OPTIONS: `--import=${preload}`,
    });
    expect(JSON.parse(stdout)).toMatchObject({
      total: 1,
      failed: [{ name: ONE_CASE[1], error: expect.stringContaining('cuMemMap returned') }],
      unexpected: [],
    });
    expect(code).toBe(1);
  });

  it('without a driver the one failure says so, and the exit code is 1', async () => {
    const { code, stdout } = await start(program, ['groups', '--addon', addonPath, '--json'], {
      VRAM_RESIDENCY_LIBCUDA: '/nowhere/libcuda.so.1',
    });
    expect(JSON.parse(stdout)).toMatchObject({
      total: 1,
      passed: 0,
      failed: [{ name: 'cuda:0 can be opened', error: expect.stringContaining('DEVICE_UNAVAILABLE') }],
      device: null,
    });
    expect(code).toBe(1);
  });

  it('a name that no case has runs nothing, which is not a success', async () => {
    const { code, result } = await suite('contract', '--only', 'no such case');
    expect(result).toMatchObject({ total: 0, passed: 0 });
    expect(code).toBe(1);
  });

  it('for people: a line for each skip, and the figures last', async () => {
    const env = { VRAM_RESIDENCY_LIBCUDA: libraryPath };
    const [[name = '', reason = ''] = []] = Object.entries(expected.contract);
    const { stdout } = await start(program, ['contract', '--only', name, '--addon', addonPath], env);
    const [skip, figures] = stdout.trimEnd().split('\n');
    expect(skip).toBe(`skipped: ${name}: ${reason}`);
    expect(figures).toMatch(
      /^contract on .+ \(emulated\): 1 cases, 0 passed, 0 failed, 1 skipped, 0 unexpected$/,
    );
  });

  it('over WebGPU without an adapter: one failed case that says so', async () => {
    const env = { VK_DRIVER_FILES: '/nonexistent.json', VK_ICD_FILENAMES: '/nonexistent.json' };
    const { code, stdout } = await start(program, ['webgpu', '--addon', addonPath, '--json'], env);
    expect(JSON.parse(stdout)).toMatchObject({
      suite: 'webgpu',
      passed: 0,
      failed: [{ name: 'webgpu:0 can be opened', error: 'there is no WebGPU adapter' }],
      device: null,
    });
    expect(code).toBe(1);
  });

  it.each([
    [['everything'], 'one of contract, groups, webgpu is needed'],
    [[], 'one of contract, groups, webgpu is needed'],
    [['contract', 'groups'], 'one of contract, groups, webgpu is needed'],
    [['contract', '--device', '-1'], '--device'],
    [['contract', '--device', 'cuda:0'], '--device must be an integer from 0 to 255'],
    [['contract', '--max-bytes', '1'], '--max-bytes must be an integer from'],
    [['contract', '--case-seconds', '1e9'], '--case-seconds must be an integer from'],
    [['contract', '--addon', '/nowhere.node'], '--addon names a file that is not there'],
    [['contract', '--odd'], '--odd'],
  ])('arguments %j are refused: exit code 2, with the argument named', async (args, told) => {
    const { code, stdout, stderr } = await start(program, args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(told);
  });
});

function nameOf(entry: unknown): string {
  if (typeof entry !== 'object' || entry === null || !('name' in entry))
    throw new Error('an entry has no name');
  return String(entry.name);
}
