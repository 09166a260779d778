import type { Clock } from '../base/index.js';

/** Lines that a connection may send at once. */
const BURST = 64;
const LINES_PER_SECOND = 10;

/** What one connection may say: a client needs a handful of lines, and a few more for every healing. */
export class LineBudget {
  readonly #clock: Clock;
  #lines = BURST;
  #filledMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#filledMs = clock.monotonic();
  }

  /** Takes one line. False if there is none left. */
  take(): boolean {
    const now = this.#clock.monotonic();
    this.#lines = Math.min(BURST, this.#lines + ((now - this.#filledMs) * LINES_PER_SECOND) / 1000);
    this.#filledMs = now;
    if (this.#lines < 1) return false;
    this.#lines -= 1;
    return true;
  }
}
