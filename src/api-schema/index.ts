// What worker and client say to each other over HTTP. Types and codes alone may enter: nothing that reaches a device.
export {
  ERROR_ANSWERS,
  type ErrorAnswer,
  type Problem,
  type ServiceErrorCode,
  type WorkerErrorCode,
} from './codes.js';
export type * from './executions.js';
export type * from './guards.js';
export type * from './messages.js';
