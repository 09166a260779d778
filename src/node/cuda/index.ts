import { env } from 'node:process';
import { cudaBackend } from '../../device/cuda/index.js';
import type { Backend } from '../../device/types.js';
import { ptx } from '../../generated/ptx.js';
import { addonPaths, loadAddon } from './loader.js';
import type { SystemSigns } from './pageable.js';
import { isPageable, systemSigns } from './pageable.js';

export type { StoreProbe } from './probe.js';
export { probeReadOnlyStore } from './probe.js';

export interface NodeCudaOptions {
  /** Driver library instead of the system's. Default: `VRAM_RESIDENCY_LIBCUDA`; such a device is marked as an override. */
  readonly libraryPath?: string | null;
  /** Where to look for the addon, in order. */
  readonly addonPaths?: readonly string[];
  /** Default: those of this machine. */
  readonly signs?: SystemSigns;
  /** PTX of the kernels. Default: the one that ships. */
  readonly ptx?: string;
}

/** CUDA in Node. Without a driver, or without the addon, list() is empty and problem() says what would help. */
export function nodeCudaBackend(options: NodeCudaOptions = {}): Backend {
  const { VRAM_RESIDENCY_LIBCUDA: override } = env;
  const signs = options.signs ?? systemSigns();
  return cudaBackend({
    addon: () => loadAddon(options.addonPaths ?? addonPaths()),
    libraryPath: options.libraryPath ?? (override === undefined || override === '' ? null : override),
    pageable: (libraryPath) => isPageable(libraryPath, signs),
    ptx: options.ptx ?? ptx['vram'] ?? '',
  });
}
