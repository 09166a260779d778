export { hostBackend } from './backend.js';
export type { BlockHasher, HostKernels } from './kernels.js';
export type { HostInjection, HostOpenOptions, HostOptions } from './options.js';
