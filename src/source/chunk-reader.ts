import { type Clock, type End, type ForeignCalls, firstEnd, type VramError } from '../base/index.js';

/** How long a producer of chunks may keep its reader waiting. */
export interface ChunkLimits {
  readonly calls: ForeignCalls;
  readonly clock: Clock;
  /** Milliseconds without a byte; null: only `ends` end the wait. */
  readonly stallMs: number | null;
  readonly stalled: () => VramError;
  /** Milliseconds since a byte came that is not given on. */
  readonly idleMs?: (() => number) | undefined;
  /** The error for a value that is not a chunk. */
  readonly notAChunk: () => VramError;
  readonly ends: readonly End[];
}

/** Reads chunk after chunk from foreign code. */
export class ChunkReader {
  readonly #next: () => PromiseLike<IteratorResult<unknown>>;
  readonly #limits: ChunkLimits;

  constructor(next: () => PromiseLike<IteratorResult<unknown>>, limits: ChunkLimits) {
    this.#next = next;
    this.#limits = limits;
  }

  /** The next chunk that has bytes; undefined at the end. Errors: those of the producer and of the limits. */
  async next(): Promise<Uint8Array | undefined> {
    const { calls, clock, stallMs, stalled, idleMs, notAChunk, ends } = this.#limits;
    let leftMs = stallMs;
    for (;;) {
      const ended = firstEnd(ends);
      if (ended !== null) throw ended;
      const askedAt = clock.monotonic();
      const wait = { limitMs: leftMs ?? undefined, stalled, idleMs, ends };
      const { done, value: chunk } = await calls.run(this.#next, wait);
      if (done === true) return undefined;
      if (!(chunk instanceof Uint8Array)) throw notAChunk();
      if (chunk.length > 0) return chunk;
      // An empty chunk is not progress: its time counts, and a run of them must not keep timers and signals from firing.
      if (leftMs !== null) leftMs -= clock.monotonic() - askedAt;
      if (leftMs !== null && leftMs <= 0) throw stalled();
      await turn();
    }
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 0);
  });
}
