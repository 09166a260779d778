// Verifiers of logs and proofs. All input is untrusted.
export { consistencyRanges, inclusionRanges, RangeHasher } from './proof.js';
export {
  type ConsistencyDocument,
  consistencyDocument,
  type InclusionDocument,
  inclusionDocument,
  type ProofReport,
  parseProof,
  verifyProofDocument,
} from './proof-document.js';
export {
  faultMessage,
  LineChecker,
  runSegmentJob,
  type SegmentJob,
  type SegmentResult,
} from './segment-verifier.js';
export { type AuditReport, type LogSource, type VerifyLogOptions, verifyLog } from './verifier.js';
