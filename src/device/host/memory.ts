import { BLOCK_BYTES } from '../../digest/types.js';

/** A region's memory: whole blocks, zero-filled, in segments of whole blocks. */
export class HostMemory {
  /** Whole blocks. */
  readonly byteLength: number;
  readonly #segmentBytes: number;
  #segments: Uint8Array[] = [];

  /** Errors: RangeError where the JavaScript engine has no memory left. */
  constructor(byteLength: number, segmentBytes: number) {
    this.byteLength = paddedLength(byteLength);
    this.#segmentBytes = segmentBytes;
    for (let at = 0; at < this.byteLength; at += segmentBytes) {
      this.#segments.push(new Uint8Array(Math.min(segmentBytes, this.byteLength - at)));
    }
  }

  /** The range's parts, one a segment, in order; not copies. The range lies inside. */
  *pieces(offset: number, length: number): Generator<Uint8Array> {
    let at = offset;
    const end = offset + length;
    while (at < end) {
      const index = Math.floor(at / this.#segmentBytes);
      const segment = this.#segments[index];
      if (segment === undefined) return;
      const start = at - index * this.#segmentBytes;
      const taken = Math.min(segment.length - start, end - at);
      yield segment.subarray(start, start + taken);
      at += taken;
    }
  }

  write(offset: number, bytes: Uint8Array): void {
    let at = 0;
    for (const piece of this.pieces(offset, bytes.length)) {
      piece.set(bytes.subarray(at, at + piece.length));
      at += piece.length;
    }
  }

  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const piece of this.pieces(offset, length)) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  /** Hands out every segment, then forgets it. */
  *drain(): Generator<Uint8Array> {
    for (let segment = this.#segments.pop(); segment !== undefined; segment = this.#segments.pop()) {
      yield segment;
    }
  }
}

/** Bytes up to the end of the last block. */
export function paddedLength(byteLength: number): number {
  return Math.ceil(byteLength / BLOCK_BYTES) * BLOCK_BYTES;
}
