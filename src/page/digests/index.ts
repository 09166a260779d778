export { type DigestWorkersOptions, digestWorkers } from './engine.js';
export { type DigestPort, serveDigests } from './serve.js';
export type { WorkerLike } from './worker.js';
