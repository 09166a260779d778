import { systemTimer, type Timer } from './timer.js';

/** Time, injected so that tests can turn it. */
export interface Clock {
  /** Milliseconds since 1970, UTC: what people and records are told. */
  now(): number;
  /** Milliseconds from any start, never running backwards: what durations and freshness are measured with. */
  monotonic(): number;
  /**
   * Calls `fire` once after so many milliseconds, and gives how to call that off: what ends the wait for sources, observers
   * and signers.
   * Default: the platform's timers.
   */
  after?(ms: number, fire: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

/** The timer that goes with a clock. */
export function timerOf(clock: Clock): Timer {
  return (ms, fire) => (clock.after === undefined ? systemTimer(ms, fire) : clock.after(ms, fire));
}

/** RFC 3339, UTC, milliseconds. */
export function timestamp(clock: Clock): string {
  return new Date(clock.now()).toISOString();
}
