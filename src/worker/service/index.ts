// The worker itself: plans, commits, verifies, heals, attests, drains. Independent of HTTP.
export type { Readiness } from './readiness.js';
export type { ScrubSettings } from './scrubbing.js';
export { Worker } from './worker.js';
export type { Sharing, WorkerOptions } from './worker-options.js';
