// The CUDA backend, over the addon's functions. node/devices loads the addon.
export type { Addon, DescriptorHandle } from './addon.js';
export { cudaBackend } from './backend.js';
export { NotInstalled } from './failures.js';
export type { Kernels } from './kernels.js';
export { exportMemory } from './shared-memory.js';
