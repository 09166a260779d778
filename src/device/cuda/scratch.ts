import { BLOCK_BYTES, HASH_BYTES, HASHES_PER_BLOCK } from '../../digest/index.js';

/** Levels of the tree over 2^53 - 1 bytes. */
const MAX_LEVELS = 7;
export const COUNTER_BYTES = 8;

/** The first bytes of the pool, in one piece so that one copy reads back a run's proof. */
export const ROOT_OFFSET = 0;
/** Blocks hashed, nodes hashed: two u64. */
export const LEAF_COUNTER_OFFSET = HASH_BYTES;
export const NODE_COUNTER_OFFSET = LEAF_COUNTER_OFFSET + COUNTER_BYTES;
export const COUNTERS_BYTES = 2 * COUNTER_BYTES;
/** The canary block; its first 32 bytes are replaced by its own hash after every dispatch. */
export const CANARY_OFFSET = NODE_COUNTER_OFFSET + COUNTER_BYTES;
/** Root, counters and the canary's last hash. */
export const PROOF_BYTES = CANARY_OFFSET + HASH_BYTES;
const LEVELS_OFFSET = 8192;

/** The buffer of one level's hashes until they are hashed into the level above. */
export interface LevelBuffer {
  readonly offset: number;
  /** Capacity in hashes; one more slot follows, for the canary's. */
  readonly capacity: number;
}

/** Division of the scratch pool. Its size depends on the window alone, whatever a region's size. */
export interface ScratchLayout {
  /** The most blocks hashed in one dispatch. */
  readonly windowBlocks: number;
  readonly levels: readonly LevelBuffer[];
  readonly byteLength: number;
}

/**
 * Capacities are powers of two from 128 on, each a 128th of the one below: a full level then becomes hashes that fill the
 * next one exactly, or a whole fraction of it, so that no group of 128 is ever cut.
 */
export function scratchLayout(windowBytes: number): ScratchLayout {
  const windowBlocks = Math.floor(windowBytes / BLOCK_BYTES);
  const levels: LevelBuffer[] = [];
  let capacity = HASHES_PER_BLOCK;
  while (capacity < windowBlocks) capacity *= 2;
  let offset = LEVELS_OFFSET;
  for (let level = 0; level < MAX_LEVELS; level++) {
    levels.push({ offset, capacity });
    offset += (capacity + 1) * HASH_BYTES;
    capacity = Math.max(HASHES_PER_BLOCK, capacity / HASHES_PER_BLOCK);
  }
  return { windowBlocks, levels, byteLength: Math.ceil(offset / BLOCK_BYTES) * BLOCK_BYTES };
}
