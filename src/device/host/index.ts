// The host backend: shards in this process's own memory.
export { hostBackend } from './backend.js';
export type { BlockHasher } from './kernels.js';
export type { HostOptions, NativeSinks } from './options.js';
