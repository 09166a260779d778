import { RetainedHashes } from './retained-hashes.js';
import { BLOCK_BYTES, HASH_BYTES, type KeepLevel } from './types.js';

/** Hashes consecutive blocks of 4096 bytes; `blocks` is a whole number of them, 32 bytes for each go to `out`. */
export type BlockHasher = (blocks: Uint8Array, out: Uint8Array) => void;

export interface TreeHashes {
  /** 32 bytes; all zero for empty data. */
  readonly root: Uint8Array;
  readonly groups: Uint8Array | null;
  readonly leaves: Uint8Array | null;
}

/** Hashes taken in between two calls of the hasher: 64 KiB at a time. */
const BATCH_BLOCKS = 16;

/** One block of hashes being filled, and how many hashes the level has had in all. */
interface Level {
  readonly block: Uint8Array;
  filled: number;
  nodes: number;
}

/**
 * Builds the fs-verity tree level by level while bytes, or leaf hashes made elsewhere, come in order. Memory: one block a
 * level, beside what is retained. The caller ensures that exactly `byteLength` bytes arrive.
 */
export class TreeAccumulator {
  readonly #hash: BlockHasher;
  readonly #retained: RetainedHashes;
  readonly #levels: Level[] = [];
  readonly #partial = new Uint8Array(BLOCK_BYTES);
  #partialBytes = 0;
  readonly #hashes = new Uint8Array(BATCH_BLOCKS * HASH_BYTES);

  constructor(byteLength: number, keep: KeepLevel, hash: BlockHasher) {
    this.#hash = hash;
    this.#retained = new RetainedHashes(byteLength, keep);
  }

  /** Bytes that follow those given so far. */
  update(bytes: Uint8Array): void {
    let offset = 0;
    if (this.#partialBytes > 0) {
      offset = Math.min(BLOCK_BYTES - this.#partialBytes, bytes.length);
      this.#partial.set(bytes.subarray(0, offset), this.#partialBytes);
      this.#partialBytes += offset;
      if (this.#partialBytes < BLOCK_BYTES) return;
      this.#hashLeaves(this.#partial);
      this.#partialBytes = 0;
    }
    while (bytes.length - offset >= BLOCK_BYTES) {
      const blocks = Math.min(BATCH_BLOCKS, Math.floor((bytes.length - offset) / BLOCK_BYTES));
      this.#hashLeaves(bytes.subarray(offset, offset + blocks * BLOCK_BYTES));
      offset += blocks * BLOCK_BYTES;
    }
    this.#partial.set(bytes.subarray(offset));
    this.#partialBytes = bytes.length - offset;
  }

  /**
   * Leaf hashes, 32 bytes each, of the whole blocks (or the zero-padded last one) that follow. Not after a partial block of
   * update().
   */
  addLeaves(hashes: Uint8Array): void {
    this.#append(0, hashes);
  }

  /** The tree; call once. */
  finish(): TreeHashes {
    if (this.#partialBytes > 0) this.#hashLeaves(this.#partial.fill(0, this.#partialBytes));
    for (let level = 0; level < this.#levels.length; level++) this.#close(level);
    const root = this.#levels.at(-1)?.block.slice(0, HASH_BYTES) ?? new Uint8Array(HASH_BYTES);
    return { root, groups: this.#retained.groups, leaves: this.#retained.leaves };
  }

  #hashLeaves(blocks: Uint8Array): void {
    const hashes = this.#hashes.subarray(0, (blocks.length / BLOCK_BYTES) * HASH_BYTES);
    this.#hash(blocks, hashes);
    this.#append(0, hashes);
  }

  /**
   * A full block is hashed upwards when the next hash arrives or the level is closed, so that a single node stays where
   * it is: the root.
   */
  #append(index: number, hashes: Uint8Array): void {
    this.#retained.append(index, hashes);
    this.#levels[index] ??= { block: new Uint8Array(BLOCK_BYTES), filled: 0, nodes: 0 };
    const level = this.#levels[index];
    for (let offset = 0; offset < hashes.length; ) {
      if (level.filled === BLOCK_BYTES) this.#hashUp(index, level);
      const end = Math.min(offset + BLOCK_BYTES - level.filled, hashes.length);
      level.block.set(hashes.subarray(offset, end), level.filled);
      level.filled += end - offset;
      level.nodes += (end - offset) / HASH_BYTES;
      offset = end;
    }
  }

  /** Hashes the rest of a level, zero-padded, into the one above, unless it is the root. */
  #close(index: number): void {
    const level = this.#levels[index];
    if (level === undefined || level.nodes === 1) return;
    level.block.fill(0, level.filled);
    this.#hashUp(index, level);
  }

  #hashUp(index: number, level: Level): void {
    const node = new Uint8Array(HASH_BYTES);
    this.#hash(level.block, node);
    level.filled = 0;
    this.#append(index + 1, node);
  }
}
