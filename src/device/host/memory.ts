import { BLOCK_BYTES } from '../../digest/index.js';
import { type RangeArguments, SegmentTable } from '../segments.js';

/** A region's memory: whole blocks, zero-filled, in segments of whole blocks. Errors of every range: INVALID_INPUT. */
export class HostMemory {
  /** Whole blocks. */
  readonly byteLength: number;
  /** The shard's own bytes; ranges of callers go through this one. */
  readonly #data: SegmentTable;
  /** The same with the padding of the last block. */
  readonly #whole: SegmentTable;
  #segments: Uint8Array[];
  /** The end of the written part of each segment; the rest is zeros that the system may not even have mapped. */
  readonly #written: number[];

  private constructor(segments: Uint8Array[], data: SegmentTable, whole: SegmentTable) {
    this.#segments = segments;
    this.#written = segments.map(() => 0);
    this.#data = data;
    this.#whole = whole;
    this.byteLength = whole.byteLength;
  }

  /** `take` returns zeroed memory. Errors: those of `take`: RangeError where the JavaScript engine has no memory left. */
  static async allocate(
    byteLength: number,
    segmentBytes: number,
    take: (length: number) => Uint8Array,
  ): Promise<HostMemory> {
    const total = paddedLength(byteLength);
    const lengths: number[] = [];
    for (let at = 0; at < total; at += segmentBytes) lengths.push(Math.min(segmentBytes, total - at));
    const whole = await SegmentTable.create(lengths);
    const last = lengths.pop() ?? 0;
    const data = await SegmentTable.create([...lengths, last - (total - byteLength)]);
    return new HostMemory([...lengths, last].map(take), data, whole);
  }

  /** Refuses a range that is not inside the shard's bytes. */
  check(offset: number, length: number): void {
    this.#data.resolve(offset, length);
  }

  write(offset: number, bytes: Uint8Array): void {
    place(this.#toWrite(this.#data, offset, bytes.length, { offset: 'offset', length: 'bytes' }), bytes);
  }

  /** The range in place, to be written; not copies. */
  toFill(offset: number, length: number): readonly Uint8Array[] {
    return this.#toWrite(this.#data, offset, length);
  }

  read(offset: number, length: number): Uint8Array {
    const pieces = this.#pieces(this.#data, offset, length);
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  /** Whole blocks in place, one piece a segment; not copies. */
  blocks(first: number, count: number): readonly Uint8Array[] {
    return this.#pieces(this.#whole, first * BLOCK_BYTES, count * BLOCK_BYTES);
  }

  /** One block with its padding. */
  writeBlock(block: number, bytes: Uint8Array): void {
    place(this.#toWrite(this.#whole, block * BLOCK_BYTES, BLOCK_BYTES), bytes);
  }

  flip(byte: number, mask: number): void {
    for (const piece of this.#toWrite(this.#whole, byte, 1, { offset: 'byte', length: 'byte' })) {
      piece[0] = (piece[0] ?? 0) ^ mask;
    }
  }

  /**
   * Yields every segment and drops it; `written` is the part to wipe. The rest was never touched: overwriting it would
   * make the system map memory first, which takes longer than everything else.
   */
  *drain(): Generator<{ readonly segment: Uint8Array; readonly written: Uint8Array }> {
    for (let segment = this.#segments.pop(); segment !== undefined; segment = this.#segments.pop()) {
      yield { segment, written: segment.subarray(0, this.#written[this.#segments.length] ?? segment.length) };
    }
  }

  #toWrite(table: SegmentTable, offset: number, length: number, names?: RangeArguments): Uint8Array[] {
    for (const piece of table.resolve(offset, length, names)) {
      const end = piece.offset + piece.length;
      this.#written[piece.segment] = Math.max(this.#written[piece.segment] ?? 0, end);
    }
    return this.#pieces(table, offset, length, names);
  }

  #pieces(table: SegmentTable, offset: number, length: number, names?: RangeArguments): Uint8Array[] {
    return table
      .resolve(offset, length, names)
      .map((piece) => this.#segment(piece.segment).subarray(piece.offset, piece.offset + piece.length));
  }

  #segment(index: number): Uint8Array {
    const segment = this.#segments[index];
    if (segment === undefined) throw new RangeError(`segment ${index} has been given back`);
    return segment;
  }
}

function place(pieces: readonly Uint8Array[], bytes: Uint8Array): void {
  let at = 0;
  for (const piece of pieces) {
    piece.set(bytes.subarray(at, at + piece.length));
    at += piece.length;
  }
}

/** Bytes up to the end of the last block. */
export function paddedLength(byteLength: number): number {
  return Math.ceil(byteLength / BLOCK_BYTES) * BLOCK_BYTES;
}
