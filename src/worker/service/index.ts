// The worker itself: plans, commits, keeps, verifies, heals, attests, drains. It knows nothing of HTTP.
export type { Readiness } from './readiness.js';
export type { ScrubSettings } from './scrubbing.js';
export { Worker } from './worker.js';
export type { Sharing, WorkerOptions } from './worker-options.js';
