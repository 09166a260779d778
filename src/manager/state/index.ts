export { type Core, endedBy, type FailureReaction, type KeptLevel } from './core.js';
export { revokeLeases, watchDevice } from './device-loss.js';
export { Freshness, type StartedVerification } from './freshness.js';
export { Ledger, type Reservation } from './ledger.js';
export { Lifecycle, type LifecycleState } from './lifecycle.js';
export { OPERATION_KEYS, type OperationOptions, type Progress } from './operation-options.js';
export { ShardLock } from './shard-lock.js';
export {
  type KeptHashes,
  type LiveShard,
  notFound,
  requireLive,
  type ShardName,
  ShardTable,
} from './shard-table.js';
export { type Ending, withSignals } from './signals.js';
export { sleep } from './sleep.js';
