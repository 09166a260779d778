// Everything that needs Node: files, keys, the addon, devices, threads, and a log in a directory.
export {
  type AuditDirectory,
  type AuditDirectoryOptions,
  type AuditPlatform,
  auditVerifierKey,
  DEFAULT_RETENTION_DAYS,
  type ExportOptions,
  type ExportReport,
  exportTiles,
  openAuditDirectory,
  type ProveAuditOptions,
  type PruneAuditOptions,
  type PruneReport,
  proveAudit,
  pruneAudit,
  readCheckpointFile,
  type ShowAuditOptions,
  showAudit,
  type VerifierKeyOptions,
  type VerifyAuditOptions,
  verifyAudit,
  verifyProof,
} from './audit/index.js';
export { nodeCrypto } from './crypto.js';
export { datagramSender, type SendDatagram } from './datagram.js';
export { hostIsForced, loadAddon, nodeBackends, probeReadOnlyStore } from './devices/index.js';
export { createNodeEngine, findNativeHasher, nativeHasherNames } from './digest/index.js';
export { fileLocker, type LockFile } from './file-lock.js';
export {
  codeOf,
  directoryFault,
  type FileSource,
  fileSource,
  hasCode,
  loadExpected,
  MAX_UID,
  type Model,
  type ModelFile,
  type ModelFormat,
  type ModelShard,
  makeDirectories,
  nodeFileSystem,
  type OpenModelOptions,
  openModel,
  openShard,
  placeOfFile,
  readInput,
  type SourceFacts,
} from './files/index.js';
export {
  type AttestationKeyOptions,
  openAttestationKey,
  publicKeyPem,
  readPublicKey,
  readPublicKeyPem,
} from './keys/index.js';
export { pinoSink, prettySink, type TextTarget } from './narration.js';
export { openDevice, withGpuGlobals } from './onnxruntime/index.js';
export { openTelemetry } from './opentelemetry.js';
