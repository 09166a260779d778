import { createHash } from 'node:crypto';
import type { Clock } from '../../base/index.js';
import { ServiceError } from '../common/index.js';

/** How long an answer is kept for a request that is sent again. */
const KEPT_MS = 24 * 3_600_000;
const MOST_KEPT = 10_000;
const MAX_KEY = 255;

/** An answer as it was first given. */
export interface KeptAnswer {
  readonly status: number;
  readonly body: string;
}

interface Entry {
  readonly body: string;
  readonly until: number;
  readonly answer: Promise<KeptAnswer>;
}

/**
 * Does what a request asks for once, however often it is sent: `Idempotency-Key`, for one caller and route. A worker that
 * was started anew knows nothing of former keys; its `instance` tells.
 */
export class Idempotency {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock) {
    this.#clock = clock;
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
    const name = JSON.stringify([caller, route, key]);
    const digest = createHash('sha256').update(body, 'utf8').digest('base64');
    this.#dropOld();
    const known = this.#entries.get(name);
    if (known !== undefined) {
      if (known.body === digest) return await known.answer;
      throw new ServiceError(
        'INVALID_INPUT',
        '"Idempotency-Key" was used for another request; take a new one',
        {
          status: 409,
        },
      );
    }
    if (this.#entries.size >= MOST_KEPT) {
      throw new ServiceError(
        'QUEUE_FULL',
        `${MOST_KEPT} idempotency keys are in use; leave the header out, or wait`,
      );
    }
    const answer = work();
    this.#entries.set(name, { body: digest, until: this.#clock.monotonic() + KEPT_MS, answer });
    // What was refused changed nothing: the same request may succeed later.
    answer.catch(() => this.#entries.delete(name));
    return await answer;
  }

  /** In the order in which they were made. */
  #dropOld(): void {
    const now = this.#clock.monotonic();
    for (const [name, { until }] of this.#entries) {
      if (until > now) return;
      this.#entries.delete(name);
    }
  }
}
