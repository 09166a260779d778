import { createHash } from 'node:crypto';

const BLOCK = 4096;
const HASH = 32;

export const sha256 = (bytes: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha256').update(bytes).digest());

/** Bytes without a pattern, the same for the same seed. */
export function sample(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed >>> 0;
  for (let k = 0; k < length; k++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[k] = state >>> 24;
  }
  return bytes;
}

/** The SHA-256 of every 4096 bytes by node:crypto, the last ones filled up with zeros. */
export function blockHashes(bytes: Uint8Array): Uint8Array {
  const blocks = Math.ceil(bytes.length / BLOCK);
  const padded = new Uint8Array(blocks * BLOCK);
  padded.set(bytes);
  const hashes = new Uint8Array(blocks * HASH);
  for (let k = 0; k < blocks; k++) hashes.set(sha256(padded.subarray(k * BLOCK, (k + 1) * BLOCK)), k * HASH);
  return hashes;
}
