export type { Capacity } from './capacity.js';
export type { Clock } from './clock.js';
export type { FailureReaction, KeptLevel } from './core.js';
export type { LifecycleState } from './lifecycle.js';
export { type ShardHandle, VramManager } from './manager.js';
export type { TraceOptions } from './operation.js';
export type { ManagerStatus } from './status.js';
export type {
  ManagerOptions,
  OperationOptions,
  Platform,
  Progress,
  ReleaseReport,
  SealOptions,
  VerificationReport,
  VerifyOptions,
} from './types.js';
