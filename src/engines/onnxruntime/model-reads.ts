import { type End, ForeignCalls, invalidInput, systemClock, VramError } from '../../base/index.js';
import type { RandomAccess, TensorFile } from '../../models/index.js';
import { hasRanges, type Source, SourceReader } from '../../source/index.js';

/** The default of the manager's `stallMs`. */
const STALL_MS = 30_000;

/**
 * Reads a caller's model before it is sealed. Every wait ends after 30 s without an answer, or when the caller's signal
 * fires. Errors: SOURCE_MISMATCH for files that do not answer, ABORTED.
 */
export class ModelReads {
  readonly #calls = new ForeignCalls();
  readonly #ends: readonly End[];

  constructor(signal: AbortSignal | undefined) {
    // seal() refuses values that are not signals.
    this.#ends = signal instanceof AbortSignal ? [signal] : [];
  }

  /** Errors: INVALID_INPUT for a stream. */
  access(source: Source): RandomAccess {
    if (!hasRanges(source))
      throw invalidInput('model', `cannot be read at a position: "${source.label}" is a stream`);
    const reader = this.#reader(source);
    return { byteLength: source.byteLength, read: (offset, length) => reader.range(offset, length) };
  }

  /** Opens a file for `use`, and closes it. Errors: those of `use`; SOURCE_MISMATCH if it changed meanwhile. */
  async withFile<T>(file: TensorFile, use: (access: RandomAccess) => Promise<T>): Promise<T> {
    const source = await this.#call(`the file "${file.label}" did not open`, () => file.open(), closeLate);
    try {
      const result = await use(this.access(source));
      await this.#reader(source).unchanged();
      return result;
    } finally {
      await this.#call(`the file "${file.label}" did not close`, () => source.close());
    }
  }

  #reader(source: Source): SourceReader {
    return new SourceReader(source, {
      calls: this.#calls,
      clock: systemClock,
      stallMs: STALL_MS,
      ends: this.#ends,
    });
  }

  #call<T>(what: string, call: () => PromiseLike<T>, onLate?: (value: T) => void): Promise<T> {
    const stalled = () => new VramError('SOURCE_MISMATCH', `${what} within ${STALL_MS} ms`);
    return this.#calls.run(call, { limitMs: STALL_MS, stalled, ends: this.#ends, onLate });
  }
}

/** There is no other reference to a file that opened too late. */
function closeLate(source: Source): void {
  void Promise.allSettled([Promise.resolve().then(() => source.close())]);
}
