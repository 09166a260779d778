import { BLOCK_BYTES, HASH_BYTES } from '../../src/digest/types.js';
import type { Oracle } from './context.js';

/** The whole fs-verity tree, made on the host; level 0 = leaves, the last level is the root. */
export async function hostTree(oracle: Oracle, bytes: Uint8Array): Promise<readonly Uint8Array[]> {
  let level = await oracle.leaves(bytes);
  const levels = [level];
  while (level.length > HASH_BYTES) {
    level = await oracle.nodes(level);
    levels.push(level);
  }
  return levels;
}

export function rootOf(tree: readonly Uint8Array[]): Uint8Array {
  return tree.at(-1) ?? new Uint8Array(HASH_BYTES);
}

/** Indexes of the 32-byte hashes that differ. */
export function differing(got: Uint8Array, expected: Uint8Array): number[] {
  const found: number[] = [];
  for (let at = 0; at < Math.max(got.length, expected.length); at += HASH_BYTES) {
    const a = got.subarray(at, at + HASH_BYTES);
    const b = expected.subarray(at, at + HASH_BYTES);
    if (a.length !== b.length || a.some((byte, i) => byte !== b[i])) found.push(at / HASH_BYTES);
  }
  return found;
}

/** Bytes up to the end of the last block, zeros behind the data. */
export function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(Math.ceil(bytes.length / BLOCK_BYTES) * BLOCK_BYTES);
  whole.set(bytes);
  return whole;
}
