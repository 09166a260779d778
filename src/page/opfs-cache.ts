import { checkInteger, checkOptions, invalidInput, type OptionKeys } from '../base/index.js';
import type { Source } from '../source/index.js';
import { type CacheEntry, CacheFolder } from './cache-folder.js';
import { privateFolder } from './file-system.js';

/** Options of OpfsCache.open(). */
export interface OpfsCacheOptions {
  /** Bytes that the cache may take in all; default 16 GiB. The oldest entries make room for a new one. */
  readonly maxBytes?: number | undefined;
  /** Another folder than the library's own in the origin private file system. */
  readonly directory?: FileSystemDirectoryHandle | undefined;
}

const CACHE_KEYS = { maxBytes: true, directory: true } satisfies OptionKeys<OpfsCacheOptions>;
const DEFAULT_MAX_BYTES = 16 * 2 ** 30;

let folderOf: (cache: OpfsCache) => CacheFolder;

/**
 * Weights that this origin downloaded before, in its private file system, for `sealFromUrl`. Every script of the origin
 * can change them: what is read must be sealed with `expected`.
 */
export class OpfsCache {
  readonly #folder: CacheFolder;

  static {
    folderOf = (cache) => cache.#folder;
  }

  private constructor(folder: CacheFolder) {
    this.#folder = folder;
  }

  /** Errors: INVALID_INPUT; DEVICE_UNAVAILABLE where the browser has no private file system for this page. */
  static async open(options: OpfsCacheOptions = {}): Promise<OpfsCache> {
    checkOptions('options', options, CACHE_KEYS);
    const maxBytes = checkInteger('maxBytes', options.maxBytes ?? DEFAULT_MAX_BYTES, 1);
    return new OpfsCache(new CacheFolder(options.directory ?? (await privateFolder('weights')), maxBytes));
  }

  /** What is stored, oldest first. Errors: those of the file system. */
  entries(): Promise<readonly CacheEntry[]> {
    return this.#folder.entries();
  }

  /**
   * The bytes that were stored under a digest, or null: something to heal from. Nobody has verified them.
   * Errors: INVALID_INPUT, those of the file system.
   */
  async source(digest: string): Promise<Source | null> {
    return this.#folder.source(digest);
  }

  /**
   * Removes an entry; false where there is none, or another tab is using it. Errors: INVALID_INPUT, those of the file
   * system.
   */
  async delete(digest: string): Promise<boolean> {
    return this.#folder.delete(digest);
  }
}

/** The folder behind a caller's cache, null without one. Errors: INVALID_INPUT ("cache"). */
export function checkCache(cache: unknown): CacheFolder | null {
  if (cache === undefined) return null;
  if (cache instanceof OpfsCache) return folderOf(cache);
  throw invalidInput('cache', 'must be a cache: see OpfsCache.open');
}
