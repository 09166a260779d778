// Events: what can happen to a shard, and one operation in progress with its observers.
// Types of events and their delivery enter. What observers do with them stands in audit/, narration/ and telemetry/.
export { withAuditFailure } from './audit-failure.js';
export {
  type EventContext,
  type EventDevice,
  type EventOf,
  type EventPayloads,
  type EventType,
  FAIL_CLOSED,
  type Observer,
  type OperationEvent,
  type OperationName,
  type RevokeReason,
  type SealedPacking,
  type StageName,
} from './events.js';
export { DEFAULT_OBSERVER_MS, Observers } from './observers.js';
export {
  type EventSource,
  eventError,
  Operation,
  observerEnds,
  runOperation,
  TRACE_KEYS,
  type TraceOptions,
} from './operation.js';
