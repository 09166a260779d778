import { flatAbsorb, flatBegin, flatFinish } from './flat';
import { groups as groupsAt, hashBlocks, treeBegin, treeFinish } from './tree';

export { reserve, resolve, setSegments } from './ranges';
export { takeGroups } from './tree';

const BLOCK: i32 = 4096;
/** Input is handed over here, 16 blocks at a time: small enough to stay in the first-level cache between the two hashes. */
const STAGING_BLOCKS: i32 = 16;
const input: usize = memory.data(65536, 16);
/** Leaf hashes of the input. */
const hashes: usize = memory.data(16 * 32, 16);
/** Flat SHA-256, then the root. */
const results: usize = memory.data(64, 16);
let flat: bool = false;
let tree: bool = false;

export function staging(): usize {
  return input;
}

export function stagingBytes(): i32 {
  return STAGING_BLOCKS * BLOCK;
}

export function leaves(): usize {
  return hashes;
}

export function groups(): usize {
  return groupsAt;
}

export function result(): usize {
  return results;
}

/** Starts a message. */
export function begin(withFlat: i32, withTree: i32): void {
  flat = withFlat != 0;
  tree = withTree != 0;
  if (flat) flatBegin();
  if (tree) treeBegin();
}

/** A full staging area. */
export function absorb(): void {
  if (flat) flatAbsorb(input, STAGING_BLOCKS * BLOCK);
  if (tree) hashBlocks(input, STAGING_BLOCKS, hashes, true);
}

/** The rest, 0 to `stagingBytes` bytes; then the flat hash and the root stand at `result`. */
export function finish(length: i32): void {
  if (flat) flatFinish(input, length, results);
  if (tree) {
    hashBlocks(input, pad(length), hashes, true);
    treeFinish(results + 32);
  }
}

/** Hashes of up to `stagingBytes` bytes as blocks, outside any tree. */
export function hashStaged(length: i32): i32 {
  const blocks = pad(length);
  hashBlocks(input, blocks, hashes, false);
  return blocks;
}

/** Zeros to the end of the last block; the number of blocks. */
function pad(length: i32): i32 {
  const blocks = (length + BLOCK - 1) / BLOCK;
  memory.fill(input + length, 0, blocks * BLOCK - length);
  return blocks;
}
