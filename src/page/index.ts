// What needs a page: weights from a URL, the private file system as cache and audit log.
// Code for pages and their workers enters; what runs in Node as well stands on a lower floor.
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
export type { NotStored } from './storing-source.js';
export { takingTurns } from './turns.js';
