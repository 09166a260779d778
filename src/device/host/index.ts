export { hostBackend } from './backend.js';
export type { HostKernels } from './kernels.js';
export type { BlockHasher, HostInjection, HostOpenOptions, HostOptions } from './options.js';
