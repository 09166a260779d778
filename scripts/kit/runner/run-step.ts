import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { execPath } from 'node:process';
import type { StepPlan } from './plan.js';
import { missingFigures, type ReportLine, type Status } from './report.js';
import { NOTHING, parseStepResult, type StepResult } from './step-result.js';
import { SETTING_VARIABLE, STEP_NAME_VARIABLE, type StepSetting } from './step-setting.js';

export interface StepRun {
  readonly plan: StepPlan;
  /** steps.mjs of the kit. */
  readonly program: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly setting: Omit<StepSetting, 'resultFile' | 'workFolder'>;
  readonly limitMs: number;
  /** The step's output goes to a file in it. */
  readonly logFolder: string;
  /** Holds the step's own temporary files. */
  readonly workFolder: string;
  readonly signal: AbortSignal;
}

export interface StepOutcome {
  readonly line: ReportLine;
  readonly unusable: boolean;
}

/** How long a killed process may take to end: one that waits in the driver can take some time. */
const REAP_MS = 5000;

/**
 * Runs one step in its own process group and kills the whole group at the time limit or on abort. Never rejects: every
 * outcome of a step becomes its line in the report.
 */
export async function runStep(run: StepRun): Promise<StepOutcome> {
  const started = performance.now();
  const { plan, limitMs, setting } = run;
  const end = (status: Status, reason: string | null, result: StepResult): StepOutcome => ({
    line: {
      v: 1,
      step: plan.name,
      status,
      wallMs: Math.round(performance.now() - started),
      limitMs: Math.round(limitMs),
      reason,
      figures: result.figures,
    },
    unusable: result.unusable,
  });
  const workFolder = join(run.workFolder, plan.name);
  const resultFile = join(workFolder, 'result.json');
  let ended: Ended;
  try {
    mkdirSync(workFolder, { recursive: true });
    ended = await runToEnd(run, { ...setting, resultFile, workFolder });
  } catch (error) {
    return end('failed', `the step could not be started: ${words(error)}`, NOTHING);
  }
  let result: StepResult;
  try {
    result = readResult(resultFile);
  } catch (error) {
    return end('failed', words(error), NOTHING);
  } finally {
    rmSync(workFolder, { recursive: true, force: true });
  }
  if (ended.why === 'limit') return end('timed-out', `killed after ${(limitMs / 1000).toFixed(1)} s`, result);
  if (ended.why === 'abort') return end('failed', 'the run was interrupted', result);
  if (result.status === 'running') {
    return end(
      'failed',
      `its process ended with ${ended.how} before it had an answer${ended.lastWords}`,
      result,
    );
  }
  if (result.status !== 'passed') return end(result.status, result.reason, result);
  if (ended.how !== 'exit code 0')
    return end('failed', `its process ended with ${ended.how} after it had passed`, result);
  const paths = [...plan.figures, ...(setting.emulated ? [] : (plan.hardwareFigures ?? []))];
  const missing = missingFigures(result.figures, paths);
  if (missing.length > 0)
    return end('failed', `it passed without its figures: ${missing.join(', ')}`, result);
  return end('passed', null, result);
}

interface Ended {
  readonly why: 'exit' | 'limit' | 'abort';
  /** `exit code 0`, `signal SIGSEGV`. */
  readonly how: string;
  /** The last line that it printed, with a colon before it; or nothing. */
  readonly lastWords: string;
}

async function runToEnd(run: StepRun, setting: StepSetting): Promise<Ended> {
  const logPath = join(run.logFolder, `${run.plan.name}.log`);
  const log = openSync(logPath, 'a');
  let child: ChildProcess;
  try {
    child = spawn(execPath, [run.program, run.plan.name], {
      detached: true,
      stdio: ['ignore', log, log],
      env: {
        ...run.environment,
        [STEP_NAME_VARIABLE]: run.plan.name,
        [SETTING_VARIABLE]: JSON.stringify(setting),
      },
    });
  } finally {
    closeSync(log);
  }
  const exited = new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
  });
  let why: Ended['why'] = 'exit';
  let giveUp: NodeJS.Timeout | undefined;
  // A process that hangs in the kernel cannot be killed: the run continues without it.
  const unkillable = new Promise<string>((resolve) => {
    const stop = (reason: Ended['why']) => (): void => {
      why = reason;
      killGroup(child);
      giveUp = setTimeout(() => resolve('no end: it could not be killed'), REAP_MS);
    };
    const timer = setTimeout(stop('limit'), run.limitMs);
    const onAbort = stop('abort');
    run.signal.addEventListener('abort', onAbort, { once: true });
    if (run.signal.aborted) onAbort();
    child.once('exit', () => {
      clearTimeout(timer);
      clearTimeout(giveUp);
      run.signal.removeEventListener('abort', onAbort);
    });
  });
  const how = await Promise.race([exited, unkillable]);
  // Processes that the step left running would disturb the next one.
  killGroup(child);
  return { why, how, lastWords: lastLine(logPath) };
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // ESRCH: the group has ended.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

function readResult(path: string): StepResult {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return NOTHING;
  }
  return parseStepResult(text);
}

const MAX_WORDS = 400;

/** The error that a log ends with, or else its last line: Node prints its version after an uncaught error. */
function lastLine(logPath: string): string {
  const lines = readFileSync(logPath, 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^Node\.js v\d/.test(line));
  const last = lines.findLast((line) => /^\w*Error\b/.test(line)) ?? lines.at(-1);
  return last === undefined ? '' : `: ${last.slice(0, MAX_WORDS)}`;
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
