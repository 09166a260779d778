/** Time, injected so that tests can turn it. */
export interface Clock {
  /** Milliseconds since 1970, UTC: what people and records are told. */
  now(): number;
  /** Milliseconds from any start, never running backwards: what durations and freshness are measured with. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

/** RFC 3339, UTC, milliseconds. */
export function timestamp(clock: Clock): string {
  return new Date(clock.now()).toISOString();
}
