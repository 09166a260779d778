// vram-residency/client: asks a worker that `vram-residency serve` runs.
export type * from './api-schema/index.js';
export { VramError } from './base/index.js';
export * from './client/index.js';
