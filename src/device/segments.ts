import { invalidInput, MAX_INTEGER, VramError } from '../base/index.js';
import { WasmInstance } from '../digest/index.js';

/** A part of a range that lies in one segment. Bytes. */
export interface SegmentPiece {
  /** Index of the segment. */
  readonly segment: number;
  /** From the segment's start. */
  readonly offset: number;
  /** At least 1. */
  readonly length: number;
}

/** Names of the caller's arguments, for messages. */
export interface RangeArguments {
  readonly offset: string;
  readonly length: string;
}

/** Bounds the resolver's memory; a region of 100 GiB in 128 MiB buffers has 800. */
const MAX_SEGMENTS = 65_536;
const DEFAULT_ARGUMENTS: RangeArguments = { offset: 'offset', length: 'length' };
const PIECE_NUMBERS = 3;
const BAD_OFFSET = -1;
const BAD_LENGTH = -2;
const OUTSIDE = -3;
const TOO_LARGE = -5;

/** assembly/ranges.ts, with the table of one SegmentTable loaded at a time. */
class RangeResolver {
  readonly #instance: WasmInstance;
  readonly #reserve;
  readonly #setSegments;
  readonly #resolve;
  #loaded: Float64Array | undefined;
  #address = 0;

  constructor(instance: WasmInstance) {
    this.#instance = instance;
    this.#reserve = instance.function('reserve');
    this.#setSegments = instance.function('setSegments');
    this.#resolve = instance.function('resolve');
  }

  load(lengths: Float64Array): void {
    if (this.#loaded === lengths) return;
    this.#loaded = undefined;
    this.#address = this.#reserve(lengths.length);
    if (this.#address === 0) {
      throw new VramError('DEVICE_UNAVAILABLE', 'no memory for the range resolver');
    }
    new Float64Array(this.#instance.memory.buffer, this.#address, lengths.length).set(lengths);
    const status = this.#setSegments(lengths.length);
    if (status === TOO_LARGE) throw invalidInput('segmentLengths', `must add up to at most ${MAX_INTEGER}`);
    if (status < 0) {
      throw invalidInput('segmentLengths', `must be integers from 0 to ${MAX_INTEGER}`);
    }
    this.#loaded = lengths;
  }

  /** Pieces, three numbers each, in memory that the next call reuses; or a negative status. */
  resolve(offset: number, length: number): Float64Array | number {
    const count = this.#resolve(offset, length);
    if (count < 0) return count;
    const tableBytes = (this.#loaded?.length ?? 0) * Float64Array.BYTES_PER_ELEMENT;
    return new Float64Array(this.#instance.memory.buffer, this.#address + tableBytes, count * PIECE_NUMBERS);
  }
}

let shared: Promise<RangeResolver> | undefined;

/** One instance for all tables; an attempt that failed for lack of memory is repeated. */
function sharedResolver(): Promise<RangeResolver> {
  shared ??= WasmInstance.create().then(
    (instance) => new RangeResolver(instance),
    (error: unknown) => {
      shared = undefined;
      throw error;
    },
  );
  return shared;
}

/**
 * The one range resolver (MS-006, MS-007): maps a byte range of a region to its segments, without overflow, exact up to
 * 2^53 - 1 bytes.
 */
export class SegmentTable {
  readonly byteLength: number;
  readonly #lengths: Float64Array;
  readonly #resolver: RangeResolver;

  private constructor(lengths: Float64Array, resolver: RangeResolver) {
    resolver.load(lengths);
    this.#lengths = lengths;
    this.#resolver = resolver;
    // Exact: the resolver has just refused sums above 2^53 - 1.
    this.byteLength = lengths.reduce((sum, length) => sum + length, 0);
  }

  /**
   * Lengths in bytes, in order; 0 is allowed. Errors: INVALID_INPUT ("segmentLengths"), DEVICE_UNAVAILABLE without
   * WebAssembly SIMD.
   */
  static async create(segmentLengths: readonly number[]): Promise<SegmentTable> {
    if (!Array.isArray(segmentLengths) || segmentLengths.length > MAX_SEGMENTS) {
      throw invalidInput('segmentLengths', `must be an array of at most ${MAX_SEGMENTS} lengths`);
    }
    // Only numbers are accepted: Float64Array.from would turn "1" and null into numbers.
    const lengths = Float64Array.from(segmentLengths, (length) =>
      typeof length === 'number' ? length : Number.NaN,
    );
    return new SegmentTable(lengths, await sharedResolver());
  }

  /**
   * Pieces of [offset, offset + length) in order; none for a length of zero, which is allowed up to and at the end.
   * Errors: INVALID_INPUT naming the argument, by `names` where the caller's arguments have other names.
   */
  resolve(
    offset: number,
    length: number,
    names: RangeArguments = DEFAULT_ARGUMENTS,
  ): readonly SegmentPiece[] {
    this.#resolver.load(this.#lengths);
    const numbers = this.#resolver.resolve(numberOrNaN(offset), numberOrNaN(length));
    if (typeof numbers === 'number') throw this.#refusal(numbers, offset, length, names);
    const pieces: SegmentPiece[] = [];
    for (let i = 0; i < numbers.length; i += PIECE_NUMBERS) {
      const [segment = 0, start = 0, bytes = 0] = numbers.subarray(i, i + PIECE_NUMBERS);
      pieces.push({ segment, offset: start, length: bytes });
    }
    return pieces;
  }

  #refusal(status: number, offset: number, length: number, names: RangeArguments): VramError {
    switch (status) {
      case BAD_OFFSET:
        return invalidInput(
          names.offset,
          `must be an integer from 0 to ${this.byteLength}, got ${show(offset)}`,
        );
      case BAD_LENGTH:
        return invalidInput(names.length, `must be an integer of at least 0, got ${show(length)}`);
      case OUTSIDE:
        return invalidInput(
          names.length,
          `must be at most ${this.byteLength - offset} from offset ${offset} on, got ${show(length)}`,
        );
      default:
        return new VramError('DEVICE_UNAVAILABLE', `the range resolver answered ${status}`);
    }
  }
}

/** WebAssembly would turn "1", null and true into numbers. */
function numberOrNaN(value: unknown): number {
  return typeof value === 'number' ? value : Number.NaN;
}

function show(value: unknown): string {
  return typeof value === 'number' ? String(value) : typeof value;
}
