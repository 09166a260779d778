// VramManager: seals, verifies, locates, heals, leases, lends and releases shards of one device.
// An operation enters as one file of operations/. Formats, devices and observers stand on lower floors.
export type { DrillArea, DrillFlip, DrillOptions, DrillPattern, DrillReport } from './drills/index.js';
export type { VerifyOptions } from './integrity/index.js';
export { type Lender, lenderOf, recordGuardClaim, type ShardHandle, VramManager } from './manager.js';
export {
  type AttestOptions,
  type Capacity,
  type CloseOptions,
  type CudaLease,
  type ExecuteOptions,
  type Execution,
  type HealReport,
  type HostLease,
  type Lease,
  type LendRequest,
  type LentShard,
  type Loan,
  MAX_TOGETHER,
  type ManagerOptions,
  type ManagerStatus,
  type Platform,
  type ReleaseReport,
  Scrubber,
  type ScrubEntry,
  type ScrubOptions,
  type SealOptions,
  type TensorRange,
  together,
  type WebGpuLease,
} from './operations/index.js';
export type {
  FailureReaction,
  Holder,
  LifecycleState,
  OperationOptions,
  Progress,
  ReopenSource,
  RetainedLevel,
  Survivor,
} from './state/index.js';
