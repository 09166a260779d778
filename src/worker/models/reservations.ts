import type { Clock } from '../../base/index.js';
import { ServiceError } from '../common/index.js';

export interface Reservation {
  readonly id: string;
  readonly bytes: number;
  readonly expiresAtMs: number;
}

/** Limit of uncommitted plans. Generous, since each of them reserves memory. */
const MOST_RESERVATIONS = 1_024;

/** Bytes that plans reserve until they are committed or expire. */
export class Reservations {
  readonly #clock: Clock;
  readonly #lifetimeMs: number;
  readonly #makeId: () => string;
  readonly #held = new Map<string, Reservation>();

  constructor(clock: Clock, lifetimeMs: number, makeId: () => string) {
    this.#clock = clock;
    this.#lifetimeMs = lifetimeMs;
    this.#makeId = makeId;
  }

  get lifetimeMs(): number {
    return this.#lifetimeMs;
  }

  get count(): number {
    this.#dropExpired();
    return this.#held.size;
  }

  get bytes(): number {
    this.#dropExpired();
    let bytes = 0;
    for (const one of this.#held.values()) bytes += one.bytes;
    return bytes;
  }

  /** Errors: QUEUE_FULL. */
  hold(bytes: number): Reservation {
    this.#dropExpired();
    if (this.#held.size >= MOST_RESERVATIONS) {
      throw new ServiceError('QUEUE_FULL', `${MOST_RESERVATIONS} plans are waiting for their commit`, {
        retryAfterMs: this.#lifetimeMs,
      });
    }
    const held = { id: this.#makeId(), bytes, expiresAtMs: this.#clock.monotonic() + this.#lifetimeMs };
    this.#held.set(held.id, held);
    return held;
  }

  /**
   * Takes a reservation for its commit. Errors: RESERVATION_EXPIRED, also for one that never existed: the two cannot be
   * distinguished.
   */
  take(id: string): Reservation {
    this.#dropExpired();
    const held = this.#held.get(id);
    if (held === undefined) {
      throw new ServiceError(
        'RESERVATION_EXPIRED',
        'the reservation has expired or was committed already; plan again',
      );
    }
    this.#held.delete(id);
    return held;
  }

  /** Entries are in order of creation with equal lifetimes: the first live one ends the search. */
  #dropExpired(): void {
    const now = this.#clock.monotonic();
    for (const one of this.#held.values()) {
      if (one.expiresAtMs > now) return;
      this.#held.delete(one.id);
    }
  }
}
