import {
  type CallLimits,
  type Clock,
  type End,
  type ForeignCalls,
  firstEnd,
  invalidInput,
  onEnd,
  VramError,
} from '../base/index.js';
import type { ReadNatively } from '../digest/index.js';
import { hasRanges, requireRanges } from './check.js';
import { ChunkReader } from './chunk-reader.js';
import type { Source } from './types.js';

/** How long a source may keep its reader waiting. */
export interface SourceLimits {
  readonly calls: ForeignCalls;
  readonly clock: Clock;
  /** Milliseconds without a byte. */
  readonly stallMs: number;
  /** What else ends the wait early. */
  readonly ends: readonly End[];
}

/**
 * A caller's source as the manager reads it. No call into it is waited for longer than `stallMs`, nor when one of `ends` has
 * ended: a
 * source that stalls is SOURCE_MISMATCH. What the source throws that is not a VramError becomes INVALID_INPUT.
 */
export class SourceReader {
  readonly byteLength: number;
  readonly label: string;
  readonly #source: Source;
  readonly #limits: SourceLimits;

  constructor(source: Source, limits: SourceLimits) {
    this.byteLength = source.byteLength;
    this.label = source.label;
    this.#source = source;
    this.#limits = limits;
  }

  /** Whether it can be read at a position. */
  get isRanged(): boolean {
    return hasRanges(this.#source);
  }

  /**
   * From the first byte to the last, in chunks of at most `chunkBytes` that have bytes. A chunk is valid until the next is
   * asked for.
   */
  async *chunks(chunkBytes: number): AsyncGenerator<Uint8Array, undefined> {
    const { ends, clock } = this.#limits;
    let readAtMs = Number.NEGATIVE_INFINITY;
    const onRead = (): void => {
      readAtMs = clock.monotonic();
    };
    const stopped = new AbortController();
    const callOffs = ends.map((end) => onEnd(end, (reason) => stopped.abort(reason)));
    try {
      const iterator = this.#source
        .stream({ chunkBytes, signal: stopped.signal, onRead })
        [Symbol.asyncIterator]();
      const chunks = new ChunkReader(() => iterator.next(), {
        ...this.#limits,
        stalled: () => this.#stalled(),
        idleMs: () => clock.monotonic() - readAtMs,
        notAChunk: () => invalidInput('source', 'must give Uint8Array chunks'),
      });
      let lent = false;
      try {
        for (let chunk = await chunks.next(); chunk !== undefined; chunk = await chunks.next()) {
          lent = true;
          yield chunk;
          lent = false;
        }
      } catch (error) {
        // Not awaited: this may be the call that hangs.
        stopped.abort(error);
        void this.#leave(iterator, {});
        throw error;
      } finally {
        // The consumer stopped reading and its own error is the one to report; the source is given the chance to come to
        // rest first.
        if (lent) await this.#leave(iterator, this.#callLimits());
      }
    } catch (error) {
      throw this.#failure(error);
    } finally {
      for (const callOff of callOffs) callOff();
    }
  }

  /**
   * A copy of `length` bytes from `offset`: the bytes that are checked must be the bytes that are used, whatever the
   * source does with its buffer meanwhile.
   */
  async range(offset: number, length: number): Promise<Uint8Array> {
    const source = requireRanges(this.#source);
    const bytes: unknown = await this.#call((signal) => source.readRange(offset, length, { signal }));
    if (bytes instanceof Uint8Array && bytes.length === length) return bytes.slice();
    throw new VramError(
      'SOURCE_MISMATCH',
      `the source "${this.label}" did not give ${length} bytes at ${offset}`,
    );
  }

  /**
   * Reads as the source's own readNatively does; null where it has none. A read that is abandoned may still be under way
   * afterwards.
   */
  get readNatively(): ReadNatively | null {
    const source = this.#source;
    if (source.readNatively === undefined) return null;
    return (offset, length, native) =>
      this.#call(async () => await source.readNatively?.(offset, length, native));
  }

  /** Errors: SOURCE_MISMATCH if the source is no longer what was opened. */
  async unchanged(): Promise<void> {
    await this.#call((signal) => this.#source.unchanged({ signal }));
  }

  async #call<T>(call: (signal: AbortSignal) => PromiseLike<T>): Promise<T> {
    const ended = firstEnd(this.#limits.ends);
    if (ended !== null) throw ended;
    try {
      return await this.#limits.calls.run(call, this.#callLimits());
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Never rejects. */
  async #leave(iterator: AsyncIterator<unknown>, limits: CallLimits<unknown>): Promise<void> {
    await Promise.allSettled([this.#limits.calls.run(() => iterator.return?.(), limits)]);
  }

  #callLimits(): { limitMs: number; stalled: () => VramError; ends: readonly End[] } {
    const { stallMs, ends } = this.#limits;
    return { limitMs: stallMs, stalled: () => this.#stalled(), ends };
  }

  #stalled(): VramError {
    return new VramError(
      'SOURCE_MISMATCH',
      `the source "${this.label}" gave nothing for ${this.#limits.stallMs} ms; try again, or raise stallMs`,
    );
  }

  /**
   * Converts a failure of the caller's source into a VramError. An error that it throws because it was aborted carries no
   * further information.
   */
  #failure(error: unknown): VramError {
    if (error instanceof VramError) return error;
    return firstEnd(this.#limits.ends) ?? invalidInput('source', 'failed while it was read', error);
  }
}
