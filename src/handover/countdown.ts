import { type Clock, timerOf } from '../base/index.js';

/** One timer that is started again and again; at most one runs. */
export class Countdown {
  readonly #clock: Clock;
  #callOff: () => void = () => undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Replaces the running one. */
  start(ms: number, fire: () => void): void {
    this.#callOff();
    this.#callOff = timerOf(this.#clock)(ms, fire);
  }

  stop(): void {
    this.#callOff();
    this.#callOff = () => undefined;
  }
}
