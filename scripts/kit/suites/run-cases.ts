import type { Outcome } from './outcome.js';
import { CaseSkipped, NeedsOwnProcess } from './outcome.js';

export interface SuiteCase {
  readonly name: string;
  run(): Promise<void>;
}

export interface RunOptions {
  /** For each case, in milliseconds. */
  readonly limitMs: number;
  /** Runs the case of this name in another process, which has the same limit. */
  ownProcess(name: string): Promise<Outcome>;
}

/** Runs the cases in turn. A case that hangs has failed; what it leaves behind may make later ones fail too. */
export async function runCases(
  cases: readonly SuiteCase[],
  options: RunOptions,
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const one of cases) outcomes.push(await runCase(one, options));
  return outcomes;
}

async function runCase({ name, run }: SuiteCase, options: RunOptions): Promise<Outcome> {
  try {
    await withinLimit(run(), options.limitMs);
    return { name, status: 'passed' };
  } catch (error) {
    if (error instanceof NeedsOwnProcess) return await options.ownProcess(name);
    if (error instanceof CaseSkipped) return { name, status: 'skipped', reason: error.message };
    return { name, status: 'failed', error: inWords(error) };
  }
}

async function withinLimit(work: Promise<void>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`did not end within ${limitMs} ms`)), limitMs);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The error as text for a report, at most 2000 characters. */
export function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error).slice(0, 2000);
  const code = 'code' in error ? ` ${String(error.code)}` : '';
  return `${error.name}${code}: ${error.message}`.slice(0, 2000);
}
