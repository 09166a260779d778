/**
 * Asks a worker that `vram-residency serve` runs.
 * @module vram-residency/client
 */
export type * from './api-schema/index.js';
export { VramError } from './base/index.js';
export * from './client/index.js';
