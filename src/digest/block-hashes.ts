import type { BlockHasher } from './tree-accumulator.js';
import { BLOCK_BYTES, HASH_BYTES } from './types.js';

/** Hashes of consecutive blocks, 32 bytes each; a last partial block is zero-padded. */
export function hashPadded(bytes: Uint8Array, hash: BlockHasher): Uint8Array {
  const hashes = new Uint8Array(Math.ceil(bytes.length / BLOCK_BYTES) * HASH_BYTES);
  const whole = Math.floor(bytes.length / BLOCK_BYTES);
  hash(bytes.subarray(0, whole * BLOCK_BYTES), hashes.subarray(0, whole * HASH_BYTES));
  if (bytes.length > whole * BLOCK_BYTES) {
    const last = new Uint8Array(BLOCK_BYTES);
    last.set(bytes.subarray(whole * BLOCK_BYTES));
    hash(last, hashes.subarray(whole * HASH_BYTES));
  }
  return hashes;
}
