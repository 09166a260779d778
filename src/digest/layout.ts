import { checkInteger } from '../base/index.js';
import { BLOCK_BYTES, HASHES_PER_BLOCK } from './types.js';

/** One level of the tree. */
export interface TreeLevel {
  /** Hashes in this level, 32 bytes each. */
  readonly nodes: number;
  /** Index of this level's first node when all levels are packed one after another, leaves first. */
  readonly offset: number;
}

/** Shape of the fs-verity Merkle tree over `byteLength` bytes (kernel documentation, "Merkle tree"). */
export interface TreeLayout {
  readonly byteLength: number;
  /** Blocks of 4096 bytes, the last one possibly partial. */
  readonly blocks: number;
  /** Level 0 holds the leaves, the last level one node, the root. Empty data has no levels. */
  readonly levels: readonly TreeLevel[];
}

/**
 * Computes the tree's shape; exact up to 2^53 - 1 bytes, since dividing a safe integer by a power of two loses nothing.
 * Errors: INVALID_INPUT for a byte length that is not an integer from 0 to 2^53 - 1.
 */
export function treeLayout(byteLength: number): TreeLayout {
  checkInteger('byteLength', byteLength, 0);
  const blocks = Math.ceil(byteLength / BLOCK_BYTES);
  const levels: TreeLevel[] = [];
  let offset = 0;
  for (let nodes = blocks; nodes > 0; nodes = Math.ceil(nodes / HASHES_PER_BLOCK)) {
    levels.push(Object.freeze({ nodes, offset }));
    offset += nodes;
    if (nodes === 1) break;
  }
  return Object.freeze({ byteLength, blocks, levels: Object.freeze(levels) });
}
