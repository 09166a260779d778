import { Failure, type StepContext } from './context.js';
import { Fields, parseDocument } from './json.js';
import { gigabytesPerSecond } from './measuring.js';
import { endInWords } from './program.js';

/** `vram-residency selftest`, as a user runs it first on new hardware. */
export async function selftest(context: StepContext): Promise<void> {
  const size = context.affordable(2 ** 28);
  const run = await context.commandLine([
    'selftest',
    '--json',
    ...['--device', context.deviceName()],
    ...['--policy', context.policy()],
    ...['--size', String(size)],
  ]);
  if (run.code !== 0) throw new Failure(`selftest ended with ${endInWords(run)}`);
  const document = new Fields(parseDocument(run.stdout, 'selftest'), 'selftest');
  const throughput = document.inside('throughput');
  const bytes = throughput.number('byteLength');
  const probe = document.inside('readOnlyProbe');
  context.figure('knownAnswers', document.text('knownAnswers'));
  context.figure('residency', document.inside('device').text('residency'));
  context.figure('immutability', probe.text('immutability'));
  context.figure('storeProbe', probe.text('outcome'));
  context.figure('byteLength', bytes);
  context.figure('verifyGBps', gigabytesPerSecond(bytes, throughput.number('verifyMs')));
  context.figure('copyGBps', gigabytesPerSecond(bytes, throughput.number('copyMs')));
  context.figure('readbackGBps', gigabytesPerSecond(bytes, throughput.number('readbackMs')));
}
