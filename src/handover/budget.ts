import type { Clock } from '../base/index.js';

export interface Allowance {
  /** How many can be taken at once. */
  readonly burst: number;
  /** The steady rate at which the bucket refills. */
  readonly perSecond: number;
}

/** A token bucket. */
export class Budget {
  readonly #clock: Clock;
  readonly #allowance: Allowance;
  #left: number;
  #filledMs: number;

  constructor(clock: Clock, allowance: Allowance) {
    this.#clock = clock;
    this.#allowance = allowance;
    this.#left = allowance.burst;
    this.#filledMs = clock.monotonic();
  }

  /** Takes one. False if there is none left. */
  take(): boolean {
    const { burst, perSecond } = this.#allowance;
    const now = this.#clock.monotonic();
    this.#left = Math.min(burst, this.#left + ((now - this.#filledMs) * perSecond) / 1000);
    this.#filledMs = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}

/** Limit of one connection's lines. A client sends a handful, and a few more for each healing. */
export const LINES: Allowance = { burst: 64, perSecond: 10 };

/**
 * Limit of one user's leases. Each is verified and recorded, so a client that requests one after another would keep the
 * device busy and fill the log.
 */
const LEASES: Allowance = { burst: 256, perSecond: 1 };
/** The most users with a separate budget. Beyond that, the least recently used budget is dropped. */
const MOST_USERS = 1_024;

export class LeaseBudgets {
  readonly #clock: Clock;
  readonly #users = new Map<number, Budget>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes one lease of a user. False if there is none left. */
  take(uid: number): boolean {
    const budget = this.#users.get(uid) ?? new Budget(this.#clock, LEASES);
    this.#users.delete(uid);
    this.#users.set(uid, budget);
    if (this.#users.size > MOST_USERS) this.#dropOldest();
    return budget.take();
  }

  #dropOldest(): void {
    for (const uid of this.#users.keys()) {
      this.#users.delete(uid);
      return;
    }
  }
}
