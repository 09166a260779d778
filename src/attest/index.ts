export { type AttestationEnvelope, keyId, STATEMENT_TYPE, signEnvelope } from './envelope.js';
export { checkNonce } from './nonce.js';
export {
  type AttestedDevice,
  type AuditHeadProvider,
  type AuditLogHead,
  PREDICATE_TYPE,
  type ResidencyPredicate,
  type ResidencyStatement,
  residencyStatement,
  statementBytes,
} from './statement.js';
export { type AttestationCheck, type AttestationReport, verifyAttestation } from './verify.js';
