export { type AuditFile, auditFiles } from './audit-files.js';
export { blobSource } from './blob-source.js';
export type { CacheEntry } from './cache-folder.js';
export {
  type DigestPort,
  type DigestWorkersOptions,
  digestWorkers,
  serveDigests,
  type WorkerLike,
} from './digests/index.js';
export { type OpfsAuditLog, type OpfsAuditOptions, OpfsAuditSink, opfsAuditLogs } from './opfs-audit.js';
export { OpfsCache, type OpfsCacheOptions } from './opfs-cache.js';
export { type CacheOutcome, type SealFromUrlOptions, sealFromUrl, type UrlSeal } from './seal-from-url.js';
