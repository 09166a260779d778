import { systemTimer, type Timer } from './timer.js';

/** Time, injected so that tests can control it. */
export interface Clock {
  /** Milliseconds since 1970, UTC: for people and records. */
  now(): number;
  /** Milliseconds from an arbitrary start, never running backwards: for durations and freshness. */
  monotonic(): number;
  /**
   * Calls `fire` once after so many milliseconds and returns a function that cancels it. Bounds the wait for sources,
   * observers and signers.
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
