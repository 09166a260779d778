export { type AuditDirectory, type AuditDirectoryOptions, openAuditDirectory } from './directory.js';
export { readCheckpointFile } from './layout.js';
export { type ProveAuditOptions, proveAudit, verifyProof } from './prove.js';
export { DEFAULT_RETENTION_DAYS, type PruneAuditOptions, type PruneReport, pruneAudit } from './prune.js';
export { type ShowAuditOptions, showAudit } from './show.js';
export { type ExportReport, exportTiles } from './tiles.js';
export { auditVerifierKey, type VerifyAuditOptions, verifyAudit } from './verify.js';
