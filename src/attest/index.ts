// Residency statements over a verifier's nonce: form, envelope, verification.
// Making one needs a manager; checking one needs this room alone.
export { type AttestationEnvelope, MAX_ENVELOPE_CHARACTERS, signEnvelope } from './envelope.js';
export { checkNonce } from './nonce.js';
export {
  type AuditHeadProvider,
  type AuditLogHead,
  type ResidencyPredicate,
  type ResidencyPredicateV1,
  type ResidencyPredicateV2,
  type ResidencyStatement,
  residencyStatement,
  statementBytes,
} from './statement.js';
export { type AttestationCheck, type AttestationReport, verifyAttestation } from './verify.js';
