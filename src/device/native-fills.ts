import { checkInteger } from '../base/index.js';
import { FILE_WINDOW_BYTES, type NativeSink } from '../digest/index.js';

/** The native fills of one region that are in progress. */
export class NativeFills {
  readonly #close: (sink: NativeSink) => void;
  readonly #sinks = new Set<NativeSink>();
  readonly #underWay = new Set<Promise<void>>();

  /** `close` withdraws a sink's memory from native code; it may be called more than once for a sink. */
  constructor(close: (sink: NativeSink) => void) {
    this.#close = close;
  }

  /** Carries out a whole fill, which lends its sinks by lend(). */
  run(fill: () => Promise<void>): Promise<void> {
    const running = fill();
    this.#underWay.add(running);
    const done = () => this.#underWay.delete(running);
    running.then(done, done);
    return running;
  }

  /** Lends the sink to `use`, and withdraws it on every path. */
  async lend(sink: NativeSink, use: (sink: NativeSink) => Promise<void>): Promise<void> {
    this.#sinks.add(sink);
    try {
      await use(sink);
    } finally {
      this.#sinks.delete(sink);
      this.#close(sink);
    }
  }

  /** Withdraws the memory of every fill in progress; these fills then fail. */
  withdraw(): void {
    for (const sink of this.#sinks) this.#close(sink);
  }

  get anyUnderWay(): boolean {
    return this.#underWay.size > 0;
  }

  /** Resolves once the fills that were in progress have ended. Never rejects. */
  async ended(): Promise<void> {
    await Promise.allSettled([...this.#underWay]);
  }
}

/** Errors: INVALID_INPUT. */
export function checkFillLength(length: number): void {
  checkInteger('length', length, 1, FILE_WINDOW_BYTES);
}
