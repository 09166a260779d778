export {
  type AuditDirectory,
  type AuditDirectoryOptions,
  auditVerifierKey,
  type ExportReport,
  exportTiles,
  openAuditDirectory,
  type ProveAuditOptions,
  type PruneAuditOptions,
  type PruneReport,
  proveAudit,
  pruneAudit,
  type ShowAuditOptions,
  showAudit,
  type VerifyAuditOptions,
  verifyAudit,
  verifyProof,
} from './audit/index.js';
export { nodeCrypto } from './crypto.js';
export {
  type FileSource,
  fileSource,
  loadExpected,
  type Model,
  type ModelShard,
  type OpenModelOptions,
  openModel,
  openShard,
} from './files/index.js';
export { type AttestationKeyOptions, openAttestationKey } from './keys/index.js';
export { pinoSink, prettySink, type TextTarget } from './narration.js';
export { nodePlatform } from './platform.js';
