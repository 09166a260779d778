// A worker's client: HTTP over its Unix socket or TCP. It uses the messages and no devices.
export { type CallOptions, type EventOptions, WorkerClient, type WorkerClientOptions } from './client.js';
export type { WorkerAddress } from './connection.js';
export { WorkerError, type WorkerErrorDetails } from './worker-error.js';
