import { type Clock, timestamp } from '../../base/index.js';

/** When a verification began. */
export interface StartedVerification {
  /** Those of one shard, counted in the order in which they began. */
  readonly number: number;
  readonly monotonicMs: number;
  readonly wallMs: number;
  /** The same moment, for people. RFC 3339. */
  readonly startedAt: string;
}

/**
 * How long ago the latest good verification of a whole region began (CI-007). Any look that is not a pass ends it: a
 * mismatch, also
 * one that did not repeat, a run that did not count, an aborted one. After that only a look that began later counts.
 */
export class Freshness {
  #looks = 0;
  /** Looks up to this number say nothing any more. */
  #doubted = 0;
  #verified: StartedVerification | null = null;
  #lastVerifiedAt: string | null = null;

  begin(clock: Clock): StartedVerification {
    this.#looks++;
    return {
      number: this.#looks,
      monotonicMs: clock.monotonic(),
      wallMs: clock.now(),
      startedAt: timestamp(clock),
    };
  }

  /** The look found the whole region as sealed. One that began before a doubt, or before a newer pass, changes nothing. */
  passed(look: StartedVerification): void {
    if (look.number <= this.#doubted) return;
    if (this.#verified !== null && look.number < this.#verified.number) return;
    this.#verified = look;
    this.#lastVerifiedAt = look.startedAt;
  }

  /** Something was seen that is not a pass: whatever was looked at until now no longer counts. */
  doubt(): void {
    this.#doubted = this.#looks;
    this.#verified = null;
  }

  /** Runs a look; one that throws was not a pass. */
  async during<T>(look: () => Promise<T>): Promise<T> {
    try {
      return await look();
    } catch (error) {
      this.doubt();
      throw error;
    }
  }

  /**
   * Milliseconds since the latest pass began; null without one. The larger of both clocks: the monotonic one may stand still
   * while a
   * machine is suspended, the wall clock may be set back.
   */
  ageMs(clock: Clock): number | null {
    if (this.#verified === null) return null;
    const { monotonicMs, wallMs } = this.#verified;
    return Math.max(clock.monotonic() - monotonicMs, clock.now() - wallMs);
  }

  /** When the latest pass began, also of one that no longer counts. RFC 3339, or null. */
  get lastVerifiedAt(): string | null {
    return this.#lastVerifiedAt;
  }
}
