export type { Addon } from './addon.js';
export { cudaBackend } from './backend.js';
export type { Kernels } from './kernels.js';
