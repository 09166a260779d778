import type { Figures } from '../runner/report.js';
import { Failure, kitPath, type StepContext } from './context.js';
import { Fields, parseDocument } from './json.js';
import { endInWords } from './program.js';

const SHOWN = 3;

/** Runs a suite of suites.mjs on the CUDA device. expected-skips.json must name every skip. */
export function suite(name: 'contract' | 'groups'): (context: StepContext) => Promise<void> {
  return async (context) => {
    const outcome = await runSuite(context, name, context.affordable(2 ** 28));
    for (const [figure, value] of Object.entries(outcome.figures)) context.figure(figure, value);
    if (outcome.wrong !== null) throw new Failure(outcome.wrong);
  };
}

export interface SuiteOutcome {
  readonly figures: Figures;
  /** What is wrong, in words; null if nothing is. */
  readonly wrong: string | null;
}

/** Runs a suite in a separate process. Errors: Failure if it prints no result. */
export async function runSuite(
  context: StepContext,
  name: 'contract' | 'groups' | 'webgpu',
  maxBytes: number,
): Promise<SuiteOutcome> {
  const run = await context.kitProgram('suites.mjs', [
    name,
    '--json',
    ...['--device', String(context.setting.device)],
    ...['--addon', kitPath(`../native/prebuilt/${process.platform}-${process.arch}/vram_residency.node`)],
    ...['--max-bytes', String(maxBytes)],
  ]);
  if (run.stdout.trim() === '') throw new Failure(`the suite ended with ${endInWords(run)}`);
  const result = new Fields(parseDocument(run.stdout, 'the suite'), 'the suite');
  const failed = texts(result.raw('failed'));
  const unexpected = texts(result.raw('unexpected'));
  const wrong = [...failed, ...unexpected.map((one) => `skip: ${one}`)];
  return {
    figures: {
      total: result.number('total'),
      passed: result.number('passed'),
      failed,
      skipped: texts(result.raw('skipped')).length,
      unexpected,
    },
    wrong:
      wrong.length > 0 ? inWords(wrong) : run.code === 0 ? null : `the suite ended with ${endInWords(run)}`,
  };
}

function inWords(wrong: readonly string[]): string {
  return `${wrong.length} wrong: ${wrong.slice(0, SHOWN).join('; ')}${wrong.length > SHOWN ? '; ...' : ''}`;
}

/** Entries of a list, as text: strings as they are, objects as `name: error` or `name: reason`. */
function texts(value: unknown): string[] {
  if (!Array.isArray(value)) throw new Failure('the suite printed a result of another form');
  return value.map((entry: unknown) => {
    if (typeof entry === 'string') return entry;
    if (typeof entry !== 'object' || entry === null || !('name' in entry)) return JSON.stringify(entry);
    const why = 'error' in entry ? entry.error : 'reason' in entry ? entry.reason : '';
    return `${String(entry.name)}: ${String(why)}`;
  });
}
