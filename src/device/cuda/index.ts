export type { Addon } from './addon.js';
export type { CudaEnvironment } from './backend.js';
export { cudaBackend } from './backend.js';
export type { KernelImage, Kernels } from './kernels.js';
