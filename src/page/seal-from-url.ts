import { checkInteger, invalidInput, isVramError, MAX_TIMER_MS } from '../base/index.js';
import { checkDigest } from '../digest/index.js';
import type { SealOptions, VramManager } from '../manager/index.js';
import type { SealedShard } from '../seal/index.js';
import { type Source, type UrlSourceOptions, urlSource } from '../source/index.js';
import type { CacheFolder } from './cache-folder.js';
import { checkCache, type OpfsCache } from './opfs-cache.js';
import type { NotStored } from './storing-source.js';

/** Options of sealFromUrl(). */
export interface SealFromUrlOptions
  extends Omit<SealOptions, 'expected' | 'reopen' | 'expectedFiles'>,
    Omit<UrlSourceOptions, 'signal'> {
  /** As for seal(): `sha256:HEX`, `fsverity-sha256-12:HEX`, or both. What a server or a cache holds proves nothing. */
  readonly expected: string | readonly string[];
  /** Where the weights are looked for first, and kept for the next visit. */
  readonly cache?: OpfsCache | undefined;
  /** As for urlSource; default 5: a page's network breaks off. */
  readonly retries?: number | undefined;
  /** As for urlSource, but 10,000 by default: less than the manager waits, so that there is time to ask again. */
  readonly stallMs?: number | undefined;
}

/**
 * What became of the cache: `none` was given; `hit`: the weights came out of it; `stored`: they are in it now; `busy`:
 * another tab is using the entry; `full`: no room for it; `failed`: the browser's file system refused it.
 */
export type CacheOutcome = 'none' | 'hit' | 'stored' | 'busy' | NotStored;

/** A shard that was sealed from a URL. */
export interface UrlSeal {
  readonly shard: SealedShard;
  readonly cache: CacheOutcome;
  /** The cache held other bytes under this digest. They were removed, and the weights downloaded again. */
  readonly evicted: boolean;
}

const DEFAULT_RETRIES = 5;
const DEFAULT_STALL_MS = 10_000;

/**
 * Downloads weights and seals them as they come; at no time are all of them in the page's memory. A download that
 * breaks off is resumed by range, or from the beginning where the server has no ranges. With a cache, weights of an
 * earlier visit are sealed from there; like a download, they must give `expected`. A full, busy or broken cache never
 * fails the seal. A scrubber heals the shard from the URL.
 * Errors: those of urlSource() and of seal().
 */
export async function sealFromUrl(
  manager: VramManager,
  url: string | URL,
  options: SealFromUrlOptions,
): Promise<UrlSeal> {
  if (typeof options !== 'object' || options === null) {
    throw invalidInput('options', 'must be an object that has "expected"');
  }
  const { fetch, headers, retries = DEFAULT_RETRIES, stallMs, cache, ...sealing } = options;
  const key = cacheKey(options.expected);
  const store = checkCache(cache);
  const request: UrlSourceOptions = {
    fetch,
    headers,
    retries,
    stallMs: checkInteger('stallMs', stallMs ?? DEFAULT_STALL_MS, 1, MAX_TIMER_MS),
  };
  const open = (signal?: AbortSignal): Promise<Source> => urlSource(url, { ...request, signal });
  const seal = (source: Source): Promise<SealedShard> =>
    manager.seal(source, { ...sealing, reopen: () => open() });
  const download = (): Promise<Source> => open(options.signal);

  if (store === null) {
    return { shard: await closing(await download(), seal), cache: 'none', evicted: false };
  }
  const cached = await fromCache(store, key, seal);
  if (cached !== null && cached !== 'damaged') return { shard: cached, cache: 'hit', evicted: false };
  return await store.use(key, 'exclusive', async (held) => {
    const evicted = held && cached === 'damaged' && (await store.remove(key));
    const source = await download();
    if (!held) return { shard: await closing(source, seal), cache: 'busy', evicted };
    const storing = await store.storing(key, source);
    try {
      const shard = await closing(storing, seal);
      return { shard, cache: (await storing.commit()) ?? 'stored', evicted };
    } finally {
      await storing.discard();
    }
  });
}

/** The shard; null where nothing is cached or another tab is writing it. */
function fromCache(
  store: CacheFolder,
  key: string,
  seal: (source: Source) => Promise<SealedShard>,
): Promise<SealedShard | 'damaged' | null> {
  return store.use(key, 'shared', async (held) => {
    const source = held ? await store.source(key) : null;
    if (source === null) return null;
    try {
      return await closing(source, seal);
    } catch (error) {
      if (isOfSource(error)) return 'damaged';
      throw error;
    }
  });
}

/** Other bytes than expected, or of a length that cannot be sealed at all. */
function isOfSource(error: unknown): boolean {
  return isVramError(error) && (error.code === 'SOURCE_MISMATCH' || error.argument === 'source');
}

async function closing<T>(source: Source, use: (source: Source) => Promise<T>): Promise<T> {
  try {
    return await use(source);
  } finally {
    await source.close();
  }
}

/** The digest that names the cached file: of several the fsverity digest, which every seal computes. */
function cacheKey(expected: string | readonly string[]): string {
  const all: readonly unknown[] = Array.isArray(expected) ? expected : [expected];
  const key = all.find((one) => checkDigest('expected', one).algorithm === 'fsverity') ?? all[0];
  if (typeof key !== 'string') {
    throw invalidInput('expected', 'must be given: without it, whatever the server sends would be sealed');
  }
  return key;
}
