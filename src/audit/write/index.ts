// The log that writes: its queue, chain, checkpoints and sinks.
export { Chain, type ChainState, emptyChain, MAX_SEGMENT_BYTES } from './chain.js';
export type { OnCheckpoint } from './delivery.js';
export { recoveredData } from './entries.js';
export { auditFailed } from './failures.js';
export { AuditLog } from './log.js';
export type { AuditLogOptions, AuditStatus, AuditWaitOptions, LogHead } from './log-options.js';
export { MemorySink } from './memory-sink.js';
export { type AuditObserverOptions, auditObserver, newLogId, openedData } from './observer.js';
export { RecordedSecret } from './secret.js';
export type { AuditGroup, AuditSink } from './sink.js';
