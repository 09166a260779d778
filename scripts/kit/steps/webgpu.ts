import { Failure, Skip, type StepContext } from './context.js';
import { requireDawn } from './dawn.js';
import { Fields, parseDocument } from './json.js';
import { gigabytesPerSecond } from './measuring.js';
import { endInWords } from './program.js';
import { runSuite } from './suites.js';

const DEVICE_FAILURE = 5;

/**
 * `vram-residency selftest` and the contract suite on the first WebGPU adapter. WebGPU does not report where memory lies,
 * so the class is `unproven` at best.
 */
export async function webgpu(context: StepContext): Promise<void> {
  await requireDawn();
  const size = context.affordable(2 ** 28);
  const run = await context.commandLine([
    'selftest',
    '--json',
    '--device',
    'webgpu:0',
    '--policy',
    'any',
    '--size',
    String(size),
  ]);
  if (run.code === DEVICE_FAILURE && run.stdout.includes('"device": null')) {
    throw new Skip(`no WebGPU adapter: ${endInWords(run)}`);
  }
  if (run.code !== 0) throw new Failure(`selftest on webgpu:0 ended with ${endInWords(run)}`);
  const document = new Fields(parseDocument(run.stdout, 'selftest'), 'selftest');
  const device = document.inside('device');
  const throughput = document.inside('throughput');
  const bytes = throughput.number('byteLength');
  context.figure('adapter', device.text('name'));
  context.figure('residency', device.text('residency'));
  context.figure('verifyGBps', gigabytesPerSecond(bytes, throughput.number('verifyMs')));
  context.figure('copyGBps', gigabytesPerSecond(bytes, throughput.number('copyMs')));
  context.figure('execution', device.text('execution'));
  const isHardware = device.text('execution') === 'hardware';
  const contract = await runSuite(context, 'webgpu', isHardware ? 2 ** 28 : 2 ** 22);
  context.figure('contract', contract.figures);
  if (contract.wrong !== null) throw new Failure(contract.wrong);
}
