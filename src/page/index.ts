export { blobSource } from './blob-source.js';
export type { CacheEntry } from './cache-folder.js';
export {
  type DigestPort,
  type DigestWorkersOptions,
  digestWorkers,
  serveDigests,
  type WorkerLike,
} from './digests/index.js';
export { OpfsCache, type OpfsCacheOptions } from './opfs-cache.js';
export { type CacheOutcome, type SealFromUrlOptions, sealFromUrl, type UrlSeal } from './seal-from-url.js';
