export {
  AUDIT_CATALOGUE,
  AUDIT_COMMON_FIELDS,
  AUDIT_TYPES,
  type AuditData,
  type AuditedEventType,
  type AuditSeverity,
  type AuditType,
  type CatalogueEntry,
  type LogEventType,
} from './catalogue.js';
export {
  type Checkpoint,
  logOrigin,
  parseCheckpoint,
  parseOrigin,
  type SignedCheckpoint,
} from './checkpoint.js';
export { AuditLog, type AuditLogOptions, type AuditStatus, type LogHead, type OnCheckpoint } from './log.js';
export { MemorySink } from './memory-sink.js';
export { memoryLogSource } from './memory-source.js';
export {
  formatVerifierKey,
  parseNote,
  parseVerifierKey,
  type VerifierKey,
  verifierKey,
  verifyNote,
} from './note.js';
export { type AuditObserverOptions, auditObserver } from './observer.js';
export {
  type ConsistencyDocument,
  type InclusionDocument,
  type ProofDocument,
  type ProofReport,
  parseProof,
  verifyProofDocument,
} from './proof-document.js';
export { type AuditRecord, parseLine } from './record.js';
export type { AuditFault, BadRecord, SegmentJob, SegmentResult } from './segment-verifier.js';
export type { AuditGroup, AuditSink } from './sink.js';
export { type AuditReport, type LogSource, type VerifyLogOptions, verifyLog } from './verifier.js';
