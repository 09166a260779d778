import { execFile } from 'node:child_process';
import { argv, execPath } from 'node:process';
import type { Outcome } from './outcome.js';

/** Time for the process to start and open its device, before the case begins. */
const START_MS = 30_000;
const MAX_OUTPUT_BYTES = 2 ** 20;

/** Starts this program again with `args` and `--only`, and reads the outcome from the result that it prints. */
export async function runInOwnProcess(
  args: readonly string[],
  name: string,
  limitMs: number,
): Promise<Outcome> {
  const program = argv[1];
  if (program === undefined) throw new Error('this program does not know its own path');
  const limits = { timeout: limitMs + START_MS, killSignal: 'SIGKILL', maxBuffer: MAX_OUTPUT_BYTES } as const;
  const { stdout, words } = await new Promise<{ stdout: string; words: string }>((resolve) => {
    execFile(execPath, [program, ...args, '--only', name, '--json'], limits, (error, out, err) => {
      const ended = error?.killed === true ? 'killed after its time' : (error?.message ?? 'exit code 0');
      resolve({ stdout: out, words: `${ended} ${err}`.trim() });
    });
  });
  return (
    outcomeOf(name, stdout) ?? {
      name,
      status: 'failed',
      error: `its process gave no result: ${words}`.slice(0, 2000),
    }
  );
}

/** null unless it is the result of exactly this one case. */
function outcomeOf(name: string, stdout: string): Outcome | null {
  let result: unknown;
  try {
    result = JSON.parse(stdout);
  } catch {
    // A process that crashed prints nothing, or an incomplete document.
    return null;
  }
  if (typeof result !== 'object' || result === null || !('total' in result) || result.total !== 1)
    return null;
  if ('passed' in result && result.passed === 1) return { name, status: 'passed' };
  const error = 'failed' in result ? wordOf(result.failed, 'error') : null;
  if (error !== null) return { name, status: 'failed', error };
  const reason = 'skipped' in result ? wordOf(result.skipped, 'reason') : null;
  return reason === null ? null : { name, status: 'skipped', reason };
}

function wordOf(list: unknown, key: string): string | null {
  const first: unknown = Array.isArray(list) ? list[0] : null;
  if (typeof first !== 'object' || first === null) return null;
  const word: unknown = Reflect.get(first, key);
  return typeof word === 'string' ? word : null;
}
