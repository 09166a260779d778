import { checkInteger, type OptionKeys } from '../base/index.js';

/** Time limits for clients, and limits of their number. Times in milliseconds. */
export interface ShareLimits {
  /** For the answer to `pause`. After that, damaged blocks are patched without it. */
  readonly pauseLimitMs: number;
  /** For a client to release the memory once its lease is revoked, before the memory is abandoned unwiped. */
  readonly releaseLimitMs: number;
  /** For `hello`. */
  readonly helloLimitMs: number;
  /** For a connection without a lease. */
  readonly idleLimitMs: number;
  /** For `received`. */
  readonly receiveLimitMs: number;
  /** From one `verified` to the next. */
  readonly verifiedEveryMs: number;
  /** Connections at a time; a further one gets BUSY. */
  readonly maxConnections: number;
}

const DEFAULT_LIMITS: ShareLimits = {
  pauseLimitMs: 5000,
  releaseLimitMs: 30_000,
  helloLimitMs: 5000,
  idleLimitMs: 60_000,
  receiveLimitMs: 30_000,
  verifiedEveryMs: 5000,
  maxConnections: 64,
};

/** The limits that a caller may set. */
export interface ShareLimitOptions {
  /** How long clients may take to answer `pause` before damaged blocks are patched anyway. Default 5,000 ms. */
  readonly pauseLimitMs?: number | undefined;
  /** How long revoked clients may take to release their memory before it is abandoned unwiped. Default 30,000 ms. */
  readonly releaseLimitMs?: number | undefined;
}

export const LIMIT_KEYS = {
  pauseLimitMs: true,
  releaseLimitMs: true,
} satisfies OptionKeys<ShareLimitOptions>;

/** One hour. */
const MOST_MS = 3_600_000;

/** Errors: INVALID_INPUT. */
export function checkLimits({ pauseLimitMs, releaseLimitMs }: ShareLimitOptions): ShareLimits {
  const limit = (name: keyof ShareLimitOptions, value: number | undefined): number =>
    checkInteger(name, value ?? DEFAULT_LIMITS[name], 1, MOST_MS);
  return {
    ...DEFAULT_LIMITS,
    pauseLimitMs: limit('pauseLimitMs', pauseLimitMs),
    releaseLimitMs: limit('releaseLimitMs', releaseLimitMs),
  };
}
