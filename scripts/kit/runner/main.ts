// The kit's runner: runs the steps one after another, each in a separate process, and writes the report. Started by
// run.sh, which has already checked the kit's files. Exit codes: 0 all steps that ran passed, 1 a step failed, 2 bad
// arguments or an unwritable --out, 3 no usable GPU, 129, 130, 143 interrupted.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { argv, env, exit } from 'node:process';
import { fileURLToPath } from 'node:url';
import { type Arguments, budgetScale, readArguments, UsageError } from './arguments.js';
import type { StepPlan } from './plan.js';
import { ReportFile, type ReportLine } from './report.js';
import { runStep } from './run-step.js';
import { lineInWords, totals } from './summary.js';

const EXIT = { ok: 0, failed: 1, usage: 2, unusable: 3 } as const;
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
/** A step is not started with less than this share of its target time left: it would only be killed. */
const LEAST_SHARE = 0.5;
const LEAST_MS = 1000;

const here = fileURLToPath(new URL('.', import.meta.url));

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function refuse(text: string): never {
  process.stderr.write(`kit: ${text}\n`);
  exit(EXIT.usage);
}

function argumentsOrUsage(): Arguments {
  try {
    return readArguments(argv.slice(2));
  } catch (error) {
    if (error instanceof UsageError) return refuse(error.message);
    throw error;
  }
}

interface Output {
  readonly folder: string;
  readonly logs: string;
  readonly report: ReportFile;
}

function openOutput(out: string | null): Output {
  const folder = resolve(out ?? `kit-report-${new Date().toISOString().replace(/[-:]|\.\d+/g, '')}`);
  const logs = join(folder, 'logs');
  try {
    mkdirSync(logs, { recursive: true });
    return { folder, logs, report: new ReportFile(join(folder, 'report.ndjson')) };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'EEXIST') return refuse(`--out: ${folder} holds a report already`);
    return refuse(
      `--out: ${folder} cannot be written (${error instanceof Error ? error.message : String(error)})`,
    );
  }
}

/** Writes into the report's folder. If that is no longer possible, the run cannot report its findings. */
function keep({ folder }: Output, write: () => void): void {
  try {
    write();
  } catch (error) {
    refuse(
      `--out: ${folder} can no longer be written (${error instanceof Error ? error.message : String(error)})`,
    );
  }
}

/** The environment of every step. */
function stepEnvironment({ emulated }: Arguments, work: string): Record<string, string | undefined> {
  const own: Record<string, string | undefined> = {
    ...env,
    HOME: work,
    CUDA_CACHE_PATH: join(work, 'cuda-cache'),
  };
  // The caller's settings would change what is measured.
  for (const name of Object.keys(own)) if (name.startsWith('VRAM_RESIDENCY_')) delete own[name];
  delete own['NODE_OPTIONS'];
  if (emulated) {
    own['VRAM_RESIDENCY_LIBCUDA'] = join(here, 'emulator', 'libcuda.so.1');
    own['NODE_OPTIONS'] = `--import ${new URL('emulated.mjs', import.meta.url).href}`;
  }
  return own;
}

function unstarted(step: StepPlan, reason: string): ReportLine {
  return { v: 1, step: step.name, status: 'skipped', wallMs: 0, limitMs: step.limitMs, reason, figures: {} };
}

function packLogs({ folder }: Output): void {
  try {
    execFileSync('tar', ['-czf', 'logs.tgz', 'logs'], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    rmSync(join(folder, 'logs'), { recursive: true });
  } catch (error) {
    // The logs themselves still exist.
    say(
      `logs.tgz could not be made (${error instanceof Error ? error.message : String(error)}); see ${folder}/logs`,
    );
  }
}

async function main(): Promise<number> {
  const started = performance.now();
  const given = argumentsOrUsage();
  const work = env['VRAM_KIT_WORK'] ?? refuse('VRAM_KIT_WORK is not set: start the kit with run.sh');
  const output = openOutput(given.out);
  const environment = stepEnvironment(given, work);
  const deadline = started + given.seconds * 1000;
  const scale = budgetScale(given);
  const interrupted = new AbortController();
  let signalled: keyof typeof SIGNALS | null = null;
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      signalled ??= signal;
      interrupted.abort();
    });
  }

  say(
    `vram-residency hardware kit${given.emulated ? ' over the EMULATED driver: nothing here says anything of a GPU' : ''}`,
  );
  say(`report: ${join(output.folder, 'report.ndjson')}\n`);
  const lines: ReportLine[] = [];
  const report = (line: ReportLine): void => {
    keep(output, () => output.report.append(line));
    lines.push(line);
    say(lineInWords(line));
  };
  let unusable: string | null = null;
  for (const plan of given.steps) {
    const left = deadline - performance.now();
    if (interrupted.signal.aborted) break;
    else if (unusable !== null) report(unstarted(plan, unusable));
    else if (left < Math.max(LEAST_MS, plan.budgetMs * scale * LEAST_SHARE))
      report(unstarted(plan, `the ${given.seconds} s of --seconds leave no time for it`));
    else {
      const outcome = await runStep({
        plan,
        program: join(here, 'steps.mjs'),
        environment,
        setting: { device: given.device, emulated: given.emulated, budgetMs: plan.budgetMs * scale },
        limitMs: Math.min(plan.limitMs * Math.max(1, scale), left),
        logFolder: output.logs,
        workFolder: work,
        signal: interrupted.signal,
      });
      report(outcome.line);
      if (outcome.unusable) unusable = 'there is no usable GPU';
    }
  }
  output.report.close();
  packLogs(output);
  const summary = `${totals(lines)} in ${((performance.now() - started) / 1000).toFixed(1)} s`;
  const text = `${[...lines.map(lineInWords), '', summary].join('\n')}\n`;
  keep(output, () => writeFileSync(join(output.folder, 'summary.txt'), text));
  say(`\n${summary}`);
  if (signalled !== null) return SIGNALS[signalled];
  if (unusable !== null) {
    const reason = lines.find(({ status }) => status === 'failed')?.reason;
    process.stderr.write(`kit: ${unusable}: ${reason ?? 'see the report'}\n`);
    return EXIT.unusable;
  }
  return lines.some(({ status }) => status === 'failed' || status === 'timed-out') ? EXIT.failed : EXIT.ok;
}

if (argv.includes('--help')) {
  say(readFileSync(new URL('usage.txt', import.meta.url), 'utf8').trimEnd());
  exit(EXIT.ok);
}
exit(await main());
