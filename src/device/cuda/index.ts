// The CUDA backend, over the addon's functions. Loading the addon is node/devices' part.
export type { Addon, DescriptorHandle } from './addon.js';
export { cudaBackend } from './backend.js';
export { NotInstalled } from './failures.js';
export type { Kernels } from './kernels.js';
export { exportMemory } from './shared-memory.js';
