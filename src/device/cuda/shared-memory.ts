import { invalidInput } from '../../base/index.js';
import type { SharedMemory } from '../types.js';
import type { DescriptorHandle } from './addon.js';

/** The memory of a region that was allocated with `share`. */
export class CudaSharedMemory implements SharedMemory {
  readonly mappedBytes: number;
  readonly #export: () => Promise<DescriptorHandle>;

  /** `exportOnce` resolves to a new descriptor each time. */
  constructor(mappedBytes: number, exportOnce: () => Promise<DescriptorHandle>) {
    this.mappedBytes = mappedBytes;
    this.#export = exportOnce;
  }

  exportOnce(): Promise<DescriptorHandle> {
    return this.#export();
  }
}

/**
 * A descriptor of the memory, for one process. Sending or dropping it closes it in this process.
 * Errors: INVALID_INPUT for memory of another library, or of a region that is not frozen yet; NOT_FOUND once the region is
 * released, DEVICE_UNAVAILABLE where the driver refuses, DEVICE_LOST.
 */
export async function exportMemory(memory: SharedMemory): Promise<DescriptorHandle> {
  if (!(memory instanceof CudaSharedMemory)) {
    throw invalidInput('memory', 'must be the shared memory of a CUDA region');
  }
  return await memory.exportOnce();
}
