export { hostBackend } from './backend.js';
export type { BlockHasher } from './kernels.js';
