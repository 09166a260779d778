import { Failure, Skip, type StepContext } from './context.js';
import { endInWords } from './program.js';
import { figuresOf, runPython } from './python.js';

const WEIGHTS_BYTES = 16 * 10 ** 9;
/** Memory left free beside the weights, for the guard, PyTorch and activations. */
const HEADROOM_BYTES = 4 * 10 ** 9;
const NO_GPU = 3;
/** The measurements' share of the step's time: the checks take the rest. */
const MEASURING_SHARE = 0.5;

/** One of the guard's own steps (clients/python/kit): the guard over an engine's weights, in Python. */
export function guard(
  program: 'guard_step.py' | 'guard_torch_step.py',
): (context: StepContext) => Promise<void> {
  return async (context) => {
    const { device, budgetMs, emulated } = context.setting;
    const seconds = emulated ? 1 : Math.max(1, (budgetMs * MEASURING_SHARE) / 1000);
    const run = await runPython(`../clients/python/kit/${program}`, [
      ...['--device', String(device)],
      ...['--seconds', String(seconds)],
      ...['--bytes', String(context.affordable(await weightBytes(context)))],
    ]);
    if (run.code === NO_GPU) throw new Skip(endInWords(run));
    if (run.stdout.trim() === '') throw new Failure(`${program} ended with ${endInWords(run)}`);
    for (const [name, value] of figuresOf(run, program)) context.figure(name, value);
    if (run.code !== 0) throw new Failure(`${program} ended with ${endInWords(run)}`);
  };
}

/** 16 GB, or as much as the device has room for. */
async function weightBytes(context: StepContext): Promise<number> {
  const device = await context.backend().open(context.setting.device);
  const { freeBytes } = await device.capacity();
  await device.close();
  return Math.min(WEIGHTS_BYTES, (freeBytes ?? WEIGHTS_BYTES) - HEADROOM_BYTES);
}
