// The manager's operations, one file each.
export { type AttestOptions, attestShard } from './attest.js';
export { type Capacity, queryCapacity } from './capacity.js';
export { type GuardClaimed, recordClaim } from './claim.js';
export { CLOSE_KEYS, type CloseOptions, closeCore } from './close.js';
export { type ExecuteOptions, type Execution, executeShard } from './execute.js';
export { type HealReport, healShard } from './heal.js';
export type { CudaLease, HostLease, Lease, TensorRange, WebGpuLease } from './lease.js';
export { type LendRequest, type LentShard, type Loan, lendShards } from './lend.js';
export { openCore } from './open.js';
export type { ManagerOptions, Platform } from './open-options.js';
export { type ReleaseReport, releaseShard } from './release.js';
export { resolveHandle } from './resolve.js';
export { Scrubber, type ScrubEntry, type ScrubOptions } from './scrub.js';
export { sealShard } from './seal.js';
export type { SealOptions } from './seal-request.js';
export { type ManagerStatus, statusOf } from './status.js';
export { verifyShard } from './verify.js';
export { verifySet } from './verify-set.js';
