/**
 * A buffer reused for short-lived inputs, because allocating each costs more than hashing it. The user awaits the hash
 * before filling it again.
 */
export class Scratch {
  #buffer: Uint8Array<ArrayBuffer>;

  constructor(bytes = 1_024) {
    this.#buffer = new Uint8Array(bytes);
  }

  /** The first `length` bytes, with their old content. */
  take(length: number): Uint8Array<ArrayBuffer> {
    if (length > this.#buffer.length) this.#buffer = new Uint8Array(2 * length);
    return this.#buffer.subarray(0, length);
  }
}

const SLAB_BYTES = 65_536;

/**
 * Cuts small pieces from larger allocations, which costs the garbage collector less than one allocation each. The
 * caller owns its piece for good, but the piece's `buffer` is shared with other pieces.
 */
export class Slabs {
  #slab = new Uint8Array(0);
  #used = 0;

  take(length: number): Uint8Array<ArrayBuffer> {
    if (this.#slab.length - this.#used < length) {
      this.#slab = new Uint8Array(Math.max(SLAB_BYTES, length));
      this.#used = 0;
    }
    const piece = this.#slab.subarray(this.#used, this.#used + length);
    this.#used += length;
    return piece;
  }
}
