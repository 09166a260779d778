import { env } from 'node:process';
import { type Backend, cudaBackend, type Kernels } from '../../../device/index.js';
import { ptx } from '../../../generated/ptx.js';
import { addonPaths } from '../../addon/index.js';
import { driverDoubt } from './driver-files.js';
import { kernelsFromFile } from './kernels.js';
import { loadAddon } from './loader.js';
import { isPageable, type SystemSigns, systemSigns } from './pageable.js';

const KERNELS_VARIABLE = 'VRAM_RESIDENCY_CUDA_KERNELS';

export interface NodeCudaOptions {
  /** Driver library instead of the system's. Default: `VRAM_RESIDENCY_LIBCUDA`; such a device is marked as an override. */
  readonly libraryPath?: string | null;
  /** Absolute paths of driver files or folders that are trusted besides the system's own. */
  readonly driverPaths?: readonly string[];
  /** Paths at which to look for the addon, in order. */
  readonly addonPaths?: readonly string[];
  /** Default: those of this machine. */
  readonly signs?: SystemSigns;
  /** PTX of the kernels. Default: the one that ships. */
  readonly ptx?: string;
  /** A fat binary to load instead of PTX. Default: none where `ptx` is given, else `VRAM_RESIDENCY_CUDA_KERNELS`. */
  readonly kernelsPath?: string | null;
}

/** CUDA in Node. Without a driver, or without the addon, list() is empty and problem() says what would help. */
export function nodeCudaBackend(options: NodeCudaOptions = {}): Backend {
  const signs = options.signs ?? systemSigns();
  const trusted = options.driverPaths ?? [];
  return cudaBackend({
    addon: () => loadAddon(options.addonPaths ?? addonPaths()),
    libraryPath: options.libraryPath ?? named('VRAM_RESIDENCY_LIBCUDA'),
    pageable: (libraryPath) => isPageable(libraryPath, signs),
    driverDoubt: (files) => driverDoubt(files, trusted),
    kernels: kernelsOf(options),
  });
}

function kernelsOf(options: NodeCudaOptions): () => Promise<Kernels> {
  const { kernelsPath } = options;
  if (typeof kernelsPath === 'string') return () => kernelsFromFile(kernelsPath, 'kernelsPath');
  const file = options.ptx === undefined && kernelsPath === undefined ? named(KERNELS_VARIABLE) : null;
  if (file !== null) return () => kernelsFromFile(file, KERNELS_VARIABLE);
  const shipped = ptx['vram'] ?? '';
  const image = options.ptx ?? shipped;
  return async () => ({ image, origin: null, replaced: image !== shipped });
}

/** An environment variable; an empty one counts as unset. */
function named(variable: string): string | null {
  const value = env[variable];
  return value === undefined || value === '' ? null : value;
}
