import { createHash } from 'node:crypto';
import type { Clock } from '../../base/index.js';
import { ServiceError } from '../common/index.js';

/** How long an answer is stored for a repeated request. */
const KEPT_MS = 24 * 3_600_000;
const MOST_KEPT = 10_000;
/**
 * Limit of all answers together. Further requests are refused, because dropping an answer would let its request run
 * twice.
 */
const MOST_KEPT_BYTES = 64 * 2 ** 20;
const MAX_KEY = 255;

/** A stored answer. */
export interface KeptAnswer {
  readonly status: number;
  readonly body: string;
}

interface Entry {
  readonly body: string;
  readonly until: number;
  readonly answer: Promise<KeptAnswer>;
  /** Size of the answer; 0 until there is one. */
  bytes: number;
}

/**
 * Carries out a request once, however often it is sent: `Idempotency-Key`, for one caller and route. A restarted worker
 * has no earlier keys; its `instance` shows that.
 */
export class Idempotency {
  readonly #clock: Clock;
  readonly #mostBytes: number;
  /** By the digest of caller, route and key, whose size does not depend on the path. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor(clock: Clock, mostBytes = MOST_KEPT_BYTES) {
    this.#clock = clock;
    this.#mostBytes = mostBytes;
  }

  /** Errors: INVALID_INPUT (409) for the key of another request, those of `work`, QUEUE_FULL. */
  async once(
    key: string,
    { caller, route, body }: { readonly caller: string; readonly route: string; readonly body: string },
    work: () => Promise<KeptAnswer>,
  ): Promise<KeptAnswer> {
    if (key.length > MAX_KEY || !/^[\x21-\x7e]+$/.test(key)) {
      throw new ServiceError(
        'INVALID_INPUT',
        `"Idempotency-Key" must be 1 to ${MAX_KEY} printable characters`,
      );
    }
    const name = digestOf(JSON.stringify([caller, route, key]));
    const digest = digestOf(body);
    this.#dropOld();
    const known = this.#entries.get(name);
    if (known !== undefined) {
      if (known.body === digest) return await known.answer;
      throw new ServiceError(
        'INVALID_INPUT',
        '"Idempotency-Key" was used for another request; use a new one',
        {
          status: 409,
        },
      );
    }
    if (this.#entries.size >= MOST_KEPT || this.#bytes >= this.#mostBytes) {
      throw new ServiceError(
        'QUEUE_FULL',
        'the store of answers for idempotency keys is full; omit the header, or wait',
      );
    }
    const answer = work();
    const entry: Entry = { body: digest, until: this.#clock.monotonic() + KEPT_MS, answer, bytes: 0 };
    this.#entries.set(name, entry);
    answer.then(
      (kept) => this.#count(name, entry, kept),
      // A refused request changed nothing: repeated later, it may succeed.
      () => this.#entries.delete(name),
    );
    return await answer;
  }

  #count(name: string, entry: Entry, { body }: KeptAnswer): void {
    if (this.#entries.get(name) !== entry) return;
    entry.bytes = Buffer.byteLength(body);
    this.#bytes += entry.bytes;
  }

  /** In the order in which they were made. */
  #dropOld(): void {
    const now = this.#clock.monotonic();
    for (const [name, { until, bytes }] of this.#entries) {
      if (until > now) return;
      this.#entries.delete(name);
      this.#bytes -= bytes;
    }
  }
}

function digestOf(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('base64');
}
