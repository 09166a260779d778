// Digests in module workers, so that the page's thread stays free.
export { type DigestWorkersOptions, digestWorkers } from './engine.js';
export { type DigestPort, serveDigests } from './serve.js';
export type { WorkerLike } from './worker.js';
