export type { SampleReport, SetReport, VerificationReport } from '../reports.js';
export type { AttestOptions } from './attest.js';
export type { Capacity } from './capacity.js';
export type { Clock } from './clock.js';
export type { FailureReaction, KeptLevel } from './core.js';
export type { DrillOptions, DrillReport } from './drill.js';
export type { DrillArea, DrillFlip, DrillPattern } from './drill-damage.js';
export type { ExecuteOptions, Execution } from './execute.js';
export type { HealReport } from './heal.js';
export type { CudaLease, HostLease, Lease, TensorRange, WebGpuLease } from './lease.js';
export type { LifecycleState } from './lifecycle.js';
export { type ShardHandle, VramManager } from './manager.js';
export type { TraceOptions } from './operation.js';
export { chanceOfMiss } from './sample.js';
export type { Scrubber, ScrubEntry, ScrubOptions } from './scrub.js';
export type { ManagerStatus } from './status.js';
export type {
  ManagerOptions,
  OperationOptions,
  Platform,
  Progress,
  ReleaseReport,
  SealOptions,
  VerifyOptions,
} from './types.js';
