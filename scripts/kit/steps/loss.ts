import { Failure, type StepContext } from './context.js';
import { Fields, parseDocument } from './json.js';
import { endInWords } from './program.js';

/** What remains of a process's context after an illegal store, and that the next process finds the device working. */
export async function loss(context: StepContext): Promise<void> {
  const { device } = context.setting;
  const run = await context.kitProgram('steps.mjs', ['--lose', String(device)]);
  if (run.code !== 0) throw new Failure(`the process that loses its context: ${endInWords(run)}`);
  const lost = new Fields(parseDocument(run.stdout, 'the child'), 'the child');
  for (const name of ['store', 'rootAfter', 'capacityAfter', 'lostReason', 'reopenAfter']) {
    context.figure(name, lost.text(name));
  }
  const other = await context.kitProgram('steps.mjs', ['--open', String(device)]);
  context.figure('otherProcess', other.code === 0 ? 'opens and proves its known answers' : endInWords(other));
  if (lost.text('store') === 'carried out') throw new Failure('an illegal store was carried out');
  if (lost.text('rootAfter') !== 'DEVICE_LOST')
    throw new Failure('a call on the lost context did not fail with DEVICE_LOST');
  if (other.code !== 0) throw new Failure(`a fresh process after the loss: ${endInWords(other)}`);
}
