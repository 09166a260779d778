import { join } from 'node:path';
import { openModel, openShareServer, tensorSource } from '../../../src/index.js';
import { Failure, Skip, type StepContext } from './context.js';
import { MODEL, openManager } from './lending.js';
import { writeLinear } from './linear-model.js';
import { endInWords } from './program.js';
import { figuresOf, runPython } from './python.js';

const HIDDEN = 4096;
const EMULATED_HIDDEN = 256;
/** Exit code if PyTorch is missing or finds no GPU. */
const NOT_HERE = 3;
const PROGRAM = '../clients/python/kit/lent_torch_step.py';

/** PyTorch in a separate process computes the same on lent weights as on the file; its in-place write changes nothing. */
export async function pytorch(context: StepContext): Promise<void> {
  const { workFolder, emulated } = context.setting;
  const path = join(workFolder, 'linear.safetensors');
  writeLinear(path, emulated ? EMULATED_HIDDEN : HIDDEN);
  const manager = await openManager(context);
  try {
    const shard = await manager.seal(tensorSource(await openModel(path)), { share: true });
    const socket = join(workFolder, 't');
    const server = await openShareServer(manager, { socket, models: { [MODEL]: shard } });
    try {
      const run = await runPython(PROGRAM, [socket, MODEL, path]);
      if (run.code === NOT_HERE) throw new Skip(endInWords(run));
      if (run.stdout.trim() === '') throw new Failure(`the borrower ended with ${endInWords(run)}`);
      for (const [name, value] of figuresOf(run, PROGRAM)) context.figure(name, value);
      if (run.code !== 0) throw new Failure(`the borrower ended with ${endInWords(run)}`);
      const { verified } = await manager.verify(shard);
      context.figure('ownerUnharmed', verified);
    } finally {
      await server.close();
    }
  } finally {
    await manager.close();
  }
}
