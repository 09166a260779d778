// The manager's state: its shards, their locks, its memory, and whether it still runs.
export { boundedEngine } from './bounded-engine.js';
export { emitCloseFailed } from './close-failures.js';
export {
  type Core,
  deviceEnd,
  type FailureReaction,
  type RetainedLevel,
  readerOf,
  terminationReason,
  type WaitLimits,
} from './core.js';
export { deviceLoss, revokeLeases, watchDevice } from './device-loss.js';
export { Freshness } from './freshness.js';
export { type Holder, Holders, type Survivor } from './holders.js';
export { Ledger, type Reservation } from './ledger.js';
export { Lifecycle, type LifecycleState } from './lifecycle.js';
export { OPERATION_KEYS, type OperationOptions, type Progress } from './operation-options.js';
export { ShardLock } from './shard-lock.js';
export {
  type LiveShard,
  notFound,
  type ReopenSource,
  type RetainedHashes,
  requireLive,
  type ShardName,
  ShardTable,
} from './shard-table.js';
export { withSignals } from './signals.js';
export { sleep } from './sleep.js';
