import { createHash } from 'node:crypto';
import { BLOCK_BYTES, HASH_BYTES } from '../../src/digest/types.js';
import type { Oracle } from '../contract/cases.js';

function hashBlocks(bytes: Uint8Array): Uint8Array {
  const hashes = new Uint8Array(Math.ceil(bytes.length / BLOCK_BYTES) * HASH_BYTES);
  const block = new Uint8Array(BLOCK_BYTES);
  for (let at = 0, out = 0; at < bytes.length; at += BLOCK_BYTES, out += HASH_BYTES) {
    block.fill(0).set(bytes.subarray(at, at + BLOCK_BYTES));
    hashes.set(createHash('sha256').update(block).digest(), out);
  }
  return hashes;
}

/** OpenSSL's SHA-256, block by block: shares no code with any engine or kernel of this project. */
export const nodeOracle: Oracle = {
  leaves: async (bytes) => hashBlocks(bytes),
  nodes: async (hashes) => hashBlocks(hashes),
  sha256: async (bytes) => new Uint8Array(createHash('sha256').update(bytes).digest()),
};
