import { type Clock, timestamp } from '../../base/index.js';

/** When a verification began. */
export interface StartedVerification {
  /** Sequence number among the shard's verifications, in the order in which they began. */
  readonly number: number;
  readonly monotonicMs: number;
  readonly wallMs: number;
  /** The same moment by the wall clock. RFC 3339. */
  readonly startedAt: string;
}

/**
 * How long ago the latest good verification of a whole region began (CI-007). Any inspection that
 * does not pass ends it: a mismatch, even one that did not repeat, a run that did not count, an aborted one. After that
 * only an inspection that began later counts.
 */
export class Freshness {
  #begun = 0;
  /** Inspections up to this number no longer count. */
  #doubted = 0;
  #verified: StartedVerification | null = null;
  #lastVerifiedAt: string | null = null;

  begin(clock: Clock): StartedVerification {
    this.#begun++;
    return {
      number: this.#begun,
      monotonicMs: clock.monotonic(),
      wallMs: clock.now(),
      startedAt: timestamp(clock),
    };
  }

  /** The whole region was found as sealed. An inspection that began before a doubt or a newer pass changes nothing. */
  passed(inspection: StartedVerification): void {
    if (inspection.number <= this.#doubted) return;
    if (this.#verified !== null && inspection.number < this.#verified.number) return;
    this.#verified = inspection;
    this.#lastVerifiedAt = inspection.startedAt;
  }

  /** An inspection did not pass: those begun until now no longer count. */
  doubt(): void {
    this.#doubted = this.#begun;
    this.#verified = null;
  }

  /** Runs an inspection; one that throws did not pass. */
  async during<T>(inspect: () => Promise<T>): Promise<T> {
    try {
      return await inspect();
    } catch (error) {
      this.doubt();
      throw error;
    }
  }

  /**
   * Milliseconds since the latest pass began; null without one. The larger of both clocks: the monotonic one may stop while
   * a machine is suspended, the wall clock may be set back.
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
