// The fs-verity Merkle tree of a stream, in constant memory: every level keeps four blocks of hashes, so that nodes too are
// hashed four at a time.

import { hashFourBlocks } from './lanes';

const BLOCK: usize = 4096;
const HASH: usize = 32;
const BUFFER: usize = 4 * BLOCK;
/** 2^53 - 1 bytes have at most 2^41 leaves, so levels of 2^41, 2^34, ... 2^6 and 1 nodes. */
const LEVELS: i32 = 7;

/** Four blocks of hashes a level. */
const buffers: usize = memory.data(LEVELS * <i32>BUFFER, 16);
/** Bytes filled in each level's buffer (u32), and nodes seen so far in each level (u64). */
const filled: usize = memory.data(LEVELS * 4, 4);
const nodes: usize = memory.data(LEVELS * 8, 8);
/** Level-1 nodes made since they were last taken: at most four by a full buffer and four by the end of the stream. */
export const groups: usize = memory.data(8 * 32, 16);
let groupCount: i32 = 0;
/** Four nodes on their way up. */
const hashed: usize = memory.data(4 * 32, 16);

export function treeBegin(): void {
  memory.fill(filled, 0, LEVELS * 4);
  memory.fill(nodes, 0, LEVELS * 8);
  groupCount = 0;
}

/** The number of level-1 nodes at `groups`; the next ones start there again. */
export function takeGroups(): i32 {
  const count = groupCount;
  groupCount = 0;
  return count;
}

/**
 * `count` blocks, the last one padded: their hashes go to `out` and, if `keep`, into the tree. Blocks are hashed in fours:
 * up to three more are read after the last one, hashed without use, and written to `out`.
 */
export function hashBlocks(from: usize, count: i32, out: usize, keep: bool): void {
  for (let i: i32 = 0; i < count; i += 4) {
    const at = out + (<usize>i) * HASH;
    hashFourBlocks(from + (<usize>i) * BLOCK, at);
    if (keep) append(0, at, min(4, count - i));
  }
}

/** Hashes what the buffers still hold; the root goes to `out`, zeros if there were no blocks. */
export function treeFinish(out: usize): void {
  memory.fill(out, 0, HASH);
  if (load<u64>(nodes) == 0) return;
  let level: i32 = 0;
  for (; load<u64>(nodes + (<usize>level << 3)) > 1; level++) {
    const used = <usize>load<u32>(filled + (<usize>level << 2));
    if (used == 0) continue;
    const buffer = buffers + <usize>level * BUFFER;
    const count = (used + BLOCK - 1) / BLOCK;
    memory.fill(buffer + used, 0, count * BLOCK - used);
    hashUp(level, <i32>count);
  }
  memory.copy(out, buffers + <usize>level * BUFFER, HASH);
}

function append(level: i32, hashes: usize, count: i32): void {
  const fill = filled + (<usize>level << 2);
  const total = nodes + (<usize>level << 3);
  const used = load<u32>(fill);
  const bytes = (<usize>count) * HASH;
  memory.copy(buffers + <usize>level * BUFFER + used, hashes, bytes);
  store<u64>(total, load<u64>(total) + count);
  store<u32>(fill, used + <u32>bytes);
  // A buffer holds a multiple of four hashes, and only the end of the stream appends fewer: it fills up exactly.
  if (used + <u32>bytes == <u32>BUFFER) hashUp(level, 4);
}

/** Hashes `count` blocks of a level's buffer into the level above, and empties the buffer. */
function hashUp(level: i32, count: i32): void {
  const out = level == 0 ? groups + (<usize>groupCount) * HASH : hashed;
  hashFourBlocks(buffers + <usize>level * BUFFER, out);
  if (level == 0) groupCount += count;
  store<u32>(filled + (<usize>level << 2), 0);
  append(level + 1, out, count);
}
