import { BLOCK_BYTES, HASH_BYTES } from '../../digest/index.js';

/** Levels above the leaves that 2^53 - 1 bytes can have. */
const UPPER_LEVELS = 6;
/**
 * Hashes that wait at a level until they are hashed into the next one: four blocks, since the engine hashes four side by
 * side.
 */
const STAGE_BYTES = 4 * BLOCK_BYTES;
const STAGE_NODES = STAGE_BYTES / BLOCK_BYTES;

/** The one scratch pool of a host device: its size depends on the window alone, never on the region. */
export class HostScratch {
  /** Blocks hashed by one kernel call. */
  readonly windowBlocks: number;
  /** Bytes of all buffers together. */
  readonly byteLength: number;
  /** Leaf hashes of two windows: one being hashed, one passed on to the next level. */
  readonly leaves: readonly Uint8Array[];
  /** Hashes of level n that wait to be hashed into level n + 1. */
  readonly stages: readonly Uint8Array[];
  /** Nodes made from one stage. */
  readonly nodes: readonly Uint8Array[];
  readonly canary = new Uint8Array(BLOCK_BYTES);
  readonly canaryHash = new Uint8Array(HASH_BYTES);
  /** Fresh for every run: the content of a buffer where nothing was written. */
  readonly pattern = new Uint8Array(HASH_BYTES);

  constructor(windowBytes: number) {
    this.windowBlocks = Math.floor(windowBytes / BLOCK_BYTES);
    this.leaves = [0, 1].map(() => new Uint8Array(this.windowBlocks * HASH_BYTES));
    this.stages = Array.from({ length: UPPER_LEVELS }, () => new Uint8Array(STAGE_BYTES));
    this.nodes = this.stages.map(() => new Uint8Array(STAGE_NODES * HASH_BYTES));
    this.byteLength = [
      ...this.leaves,
      ...this.stages,
      ...this.nodes,
      this.canary,
      this.canaryHash,
      this.pattern,
    ]
      .map((buffer) => buffer.length)
      .reduce((sum, length) => sum + length, 0);
  }

  /** A pattern and a canary that no earlier run can have left behind. */
  renew(): void {
    globalThis.crypto.getRandomValues(this.pattern);
    globalThis.crypto.getRandomValues(this.canary);
    for (const buffer of [...this.leaves, ...this.stages, ...this.nodes, this.canaryHash]) this.mark(buffer);
  }

  /** Fills a buffer of whole hashes with the pattern. */
  mark(buffer: Uint8Array): void {
    if (buffer.length === 0) return;
    buffer.set(this.pattern);
    // Doubles the filled part by copying it after itself: few large copies.
    for (let filled = HASH_BYTES; filled < buffer.length; filled *= 2) buffer.copyWithin(filled, 0, filled);
  }

  /** True if one of the hashes in `buffer` is still the pattern. */
  isMarked(buffer: Uint8Array): boolean {
    for (let at = 0; at < buffer.length; at += HASH_BYTES) {
      let same = 0;
      while (same < HASH_BYTES && buffer[at + same] === this.pattern[same]) same++;
      if (same === HASH_BYTES) return true;
    }
    return false;
  }
}
