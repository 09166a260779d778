import { probeReadOnlyStore } from '../../../src/node/devices/cuda/probe.js';
import { Failure, type StepContext } from './context.js';
import { CHUNK, CHUNK_BYTES, repeatedRoot } from './data.js';

/**
 * Whether sealed memory withstands a store by another process's kernel, and whether this process's data survives that
 * fault.
 */
export async function readonlyProbe(context: StepContext): Promise<void> {
  const device = await context.backend().open(context.setting.device);
  try {
    const region = await device.allocate(CHUNK_BYTES);
    await region.write(0, CHUNK);
    context.figure('immutability', await region.freeze());
    const { outcome, detail } = await probeReadOnlyStore(context.setting.device);
    context.figure('outcome', outcome);
    context.figure('detail', detail);
    const { root } = await region.root();
    const unharmed = Buffer.compare(root, await repeatedRoot(CHUNK_BYTES)) === 0;
    context.figure('ownerUnharmed', unharmed);
    await region.release();
    if (!unharmed) throw new Failure("another process's store changed this process's sealed memory");
    if (outcome === 'stored') throw new Failure('a store to memory mapped read-only was carried out');
    if (outcome === 'ignored')
      throw new Failure('a store to memory mapped read-only vanished without an error');
  } finally {
    await device.close();
  }
}
