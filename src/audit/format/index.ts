// Records, segments and checkpoints as they are written, and the Merkle tree over them.
export { Scratch, Slabs } from './buffers.js';
export {
  AUDIT_CATALOGUE,
  AUDIT_TYPES,
  type AuditData,
  type AuditedEvent,
  type AuditSeverity,
  type AuditType,
  auditData,
  type Clean,
  isAudited,
  type LogEventType,
  text,
} from './catalogue.js';
export {
  checkLogId,
  logOrigin,
  parseCheckpoint,
  parseOrigin,
  type SignedCheckpoint,
  signCheckpoint,
} from './checkpoint.js';
export { KeyRatchet, MAC_BYTES, MAX_EPOCH } from './keys.js';
export { type FileLine, splitLines } from './lines.js';
export { CompactRange, HASH_BYTES, leafHash, nodeHash, splitHashes } from './merkle.js';
export {
  formatVerifierKey,
  parseNote,
  parseVerifierKey,
  type UnverifiedNote,
  type VerifierKey,
  verifierKey,
  verifyNote,
} from './note.js';
export {
  type AuditRecord,
  dataText,
  isTimestamp,
  MAX_LINE_BYTES,
  type ParsedLine,
  parseJsonObject,
  parseLine,
  unsignedLine,
} from './record.js';
export { CHECKPOINT_FILE, parseStem, SEGMENT_SUFFIX, type Segment, segmentStem } from './segment.js';
