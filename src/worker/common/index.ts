// Shared by every part of the worker: its errors and its events.
export { EventLog, type Logged } from './event-log.js';
export { failureOf, notFound, ServiceError } from './service-error.js';
export { toWorkerEvent } from './worker-events.js';
