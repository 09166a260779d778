import { type Clock, timerOf } from '../../base/index.js';
import { ServiceError } from '../common/index.js';

/** Ends a load that makes no progress or is cancelled. */
export class LoadWatch {
  readonly #clock: Clock;
  readonly #stallMs: number;
  readonly #abort = new AbortController();
  #callOff: () => void = () => undefined;
  #bytes = -1;

  constructor(clock: Clock, stallMs: number) {
    this.#clock = clock;
    this.#stallMs = stallMs;
    this.#restart();
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Progress if it is more than before. */
  saw(bytes: number): void {
    if (bytes === this.#bytes) return;
    this.#bytes = bytes;
    this.#restart();
  }

  /** All bytes of a shard have arrived: the time that the device takes now is not a stall of the source. */
  pause(): void {
    this.#callOff();
  }

  /** Bytes are requested again. */
  resume(): void {
    this.#restart();
  }

  cancel(reason: Error): void {
    this.#abort.abort(reason);
  }

  /** The error to report: why the watch ended the load, otherwise the load's own error. */
  failure(error: unknown): unknown {
    return this.#abort.signal.aborted ? this.#abort.signal.reason : error;
  }

  end(): void {
    this.#callOff();
  }

  #restart(): void {
    this.#callOff();
    this.#callOff = timerOf(this.#clock)(this.#stallMs, () => {
      this.#abort.abort(
        new ServiceError(
          'LOAD_STALLED',
          `no byte came for ${this.#stallMs} ms; what was loaded has been freed`,
        ),
      );
    });
  }
}
