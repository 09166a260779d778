import { Failure, kitPath, type StepContext } from './context.js';
import { endInWords } from './program.js';
import { figuresOf, runPython } from './python.js';

/** probe.py: runs the shipped PTX with nothing but python3 and ctypes. */
export async function probe(context: StepContext): Promise<void> {
  const maxGiB = context.affordable(4 * 2 ** 30) / 2 ** 30;
  const run = await runPython('probe.py', [
    kitPath('../cuda/vram.ptx'),
    ...['--device', String(context.setting.device)],
    ...['--max-gib', String(maxGiB)],
    ...['--variants', kitPath('../cuda/variants')],
  ]);
  if (run.stdout.trim() === '') throw new Failure(`probe.py ended with ${endInWords(run)}`);
  for (const [name, value] of figuresOf(run, 'probe.py')) context.figure(name, value);
  if (run.code !== 0) throw new Failure(`probe.py ended with ${endInWords(run)}`);
}
