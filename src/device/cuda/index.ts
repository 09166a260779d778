export type { Addon } from './addon.js';
export { type CudaEnvironment, cudaBackend } from './backend.js';
export type { KernelImage, Kernels } from './kernels.js';
