export type { Addon } from './addon.js';
export { cudaBackend } from './backend.js';
export { NotInstalled } from './failures.js';
export type { Kernels } from './kernels.js';
