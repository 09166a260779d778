import { Failure, kitPath, type StepContext } from './context.js';
import { Fields, parseDocument } from './json.js';
import { endInWords } from './program.js';

const SHOWN = 3;

/** One of the suites of suites.mjs. Every skip must be one that expected-skips.json names. */
export function suite(name: 'contract' | 'groups'): (context: StepContext) => Promise<void> {
  return async (context) => {
    const { device, emulated } = context.setting;
    const run = await context.kitProgram('suites.mjs', [
      name,
      '--json',
      ...['--device', String(device)],
      ...['--addon', kitPath(`../native/prebuilt/${process.platform}-${process.arch}/vram_residency.node`)],
      ...['--max-bytes', String(context.affordable(emulated ? 2 ** 22 : 2 ** 28))],
    ]);
    if (run.stdout.trim() === '') throw new Failure(`the suite ended with ${endInWords(run)}`);
    const result = new Fields(parseDocument(run.stdout, 'the suite'), 'the suite');
    const failed = texts(result.raw('failed'));
    const skipped = texts(result.raw('skipped'));
    const unexpected = texts(result.raw('unexpected'));
    context.figure('total', result.number('total'));
    context.figure('passed', result.number('passed'));
    context.figure('failed', failed);
    context.figure('skipped', skipped.length);
    context.figure('unexpected', unexpected);
    const wrong = [...failed, ...unexpected.map((one) => `skip: ${one}`)];
    if (wrong.length > 0) {
      throw new Failure(
        `${wrong.length} wrong: ${wrong.slice(0, SHOWN).join('; ')}${wrong.length > SHOWN ? '; ...' : ''}`,
      );
    }
    if (run.code !== 0) throw new Failure(`the suite ended with ${endInWords(run)}`);
  };
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
