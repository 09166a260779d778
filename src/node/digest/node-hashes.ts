import { createHash, hash } from 'node:crypto';
import { BLOCK_BYTES, type BlockHasher, type FlatHash, HASH_BYTES } from '../../digest/index.js';
import type { NativeHasher } from './native-hasher.js';

/** A plain view: the portable core never sees a Buffer. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return plain(hash('sha256', bytes, 'buffer'));
}

/** Fewer blocks than this are hashed faster one at a time: the addon's hashers work on at least four. */
const MIN_NATIVE_BYTES = 4 * BLOCK_BYTES;

/** Hashes blocks in the calling thread, with the addon where it pays. */
export function blockHasher(native: NativeHasher | null): BlockHasher {
  if (native === null) return hashBlocks;
  return (blocks, out) => {
    if (blocks.length < MIN_NATIVE_BYTES) hashBlocks(blocks, out);
    else native.hash(blocks, out);
  };
}

/** crypto.hash makes one call into native code per block, at half the cost of createHash. */
const hashBlocks: BlockHasher = (blocks, out) => {
  for (let offset = 0, end = 0; offset < blocks.length; offset += BLOCK_BYTES, end += HASH_BYTES) {
    out.set(hash('sha256', blocks.subarray(offset, offset + BLOCK_BYTES), 'buffer'), end);
  }
};

export function flatHash(): FlatHash {
  const state = createHash('sha256');
  return { update: (bytes) => void state.update(bytes), digest: () => plain(state.digest()) };
}
