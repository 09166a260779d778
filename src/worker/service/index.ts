// The worker itself: plans, commits, verifies, heals, attests, drains. Independent of HTTP.
export { Worker } from './worker.js';
export type { Sharing, WorkerOptions } from './worker-options.js';
