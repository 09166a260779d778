import { createSHA256 } from 'hash-wasm';
import { BLOCK_BYTES, HASH_BYTES } from '../../digest/types.js';
import type { BlockHasher } from './options.js';

/** Block hashing for platforms that bring no engine of their own. */
export async function defaultEngine(): Promise<BlockHasher> {
  const hasher = await createSHA256();
  const padding = new Uint8Array(BLOCK_BYTES);
  const hash = async (bytes: Uint8Array): Promise<Uint8Array> => {
    const hashes = new Uint8Array(Math.ceil(bytes.length / BLOCK_BYTES) * HASH_BYTES);
    for (let block = 0; block * BLOCK_BYTES < bytes.length; block++) {
      const part = bytes.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
      hasher.init().update(part).update(padding.subarray(part.length));
      hashes.set(hasher.digest('binary'), block * HASH_BYTES);
    }
    return hashes;
  };
  return {
    leaves: hash,
    nodes: hash,
    sha256: async (bytes) => hasher.init().update(bytes).digest('binary'),
  };
}
