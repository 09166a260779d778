import { type PackedTensor, paddedLength } from './tensor-manifest.js';

/** Collects packed bytes, so that ten thousand small tensors do not become ten thousand chunks. */
export class PackBuffer {
  readonly #buffer: Uint8Array;
  #filled = 0;

  constructor(chunkBytes: number) {
    this.#buffer = new Uint8Array(chunkBytes);
  }

  get isEmpty(): boolean {
    return this.#filled === 0;
  }

  get isFull(): boolean {
    return this.#filled === this.#buffer.length;
  }

  /** Copies as many of the bytes as fit; returns how many. */
  add(bytes: Uint8Array): number {
    const part = bytes.subarray(0, this.#buffer.length - this.#filled);
    this.#buffer.set(part, this.#filled);
    this.#filled += part.length;
    return part.length;
  }

  /** Adds at most `count` zeros; returns how many. */
  pad(count: number): number {
    const part = Math.min(count, this.#buffer.length - this.#filled);
    this.#buffer.fill(0, this.#filled, this.#filled + part);
    this.#filled += part;
    return part;
  }

  /** The collected bytes. The buffer is reused afterwards. */
  take(): Uint8Array {
    const chunk = this.#buffer.subarray(0, this.#filled);
    this.#filled = 0;
    return chunk;
  }
}

/** Cuts the tensors out of one file as it streams by, and pads each to whole blocks. */
export class PackWalk {
  readonly #tensors: readonly PackedTensor[];
  readonly #buffer: PackBuffer;
  /** Offset in the file of the next chunk. */
  #at = 0;
  #index = 0;
  /** Bytes of the current tensor that are packed already. */
  #done = 0;

  /** `tensors` of one file in the order of their bytes, each place once. */
  constructor(tensors: readonly PackedTensor[], buffer: PackBuffer) {
    this.#tensors = tensors;
    this.#buffer = buffer;
  }

  /** Whether every tensor was packed whole. */
  get isDone(): boolean {
    return this.#index === this.#tensors.length;
  }

  /** The next bytes of the file; yields the buffer's content whenever it is full. */
  *pack(bytes: Uint8Array): Iterable<Uint8Array> {
    const start = this.#at;
    this.#at += bytes.length;
    for (;;) {
      const tensor = this.#tensors[this.#index];
      if (tensor === undefined || tensor.fileOffset >= this.#at) return;
      const { fileOffset, byteLength } = tensor;
      yield* this.#gather(
        bytes.subarray(fileOffset + this.#done - start, Math.max(0, fileOffset + byteLength - start)),
      );
      if (this.#done < byteLength) return;
      yield* this.#pad(paddedLength(byteLength) - byteLength);
      this.#index += 1;
      this.#done = 0;
    }
  }

  *#gather(bytes: Uint8Array): Iterable<Uint8Array> {
    for (let at = 0; at < bytes.length; ) {
      const taken = this.#buffer.add(bytes.subarray(at));
      at += taken;
      this.#done += taken;
      if (this.#buffer.isFull) yield this.#buffer.take();
    }
  }

  *#pad(count: number): Iterable<Uint8Array> {
    for (let rest = count; rest > 0; ) {
      rest -= this.#buffer.pad(rest);
      if (this.#buffer.isFull) yield this.#buffer.take();
    }
  }
}
