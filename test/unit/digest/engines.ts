import { createHash } from 'node:crypto';
import { toHex } from '../../../src/base/hex.js';
import { BLOCK_BYTES, type DigestEngine, type EngineName, HASH_BYTES } from '../../../src/digest/index.js';
import { createNodeEngine } from '../../../src/node/digest/create-engine.js';
import { stride } from '../../support/stride.js';

const PORTABLE: readonly EngineName[] = ['wasm', 'hash-wasm'];
/** In mutation testing without `native`, whose threads run no mutant. */
export const ENGINE_NAMES: readonly EngineName[] = stride(2) === 1 ? ['native', ...PORTABLE] : PORTABLE;

export function engineOf(name: EngineName): DigestEngine {
  return createNodeEngine(name);
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}

/** The whole tree in memory, the plain way: one array of packed hashes a level, leaves first. An oracle. */
export function naiveTree(bytes: Uint8Array): Uint8Array[] {
  const levels: Uint8Array[] = [];
  for (let data = bytes; data.length > 0; ) {
    const blocks = Math.ceil(data.length / BLOCK_BYTES);
    const hashes = new Uint8Array(blocks * HASH_BYTES);
    for (let i = 0; i < blocks; i++) {
      const block = new Uint8Array(BLOCK_BYTES);
      block.set(data.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES));
      hashes.set(sha256(block), i * HASH_BYTES);
    }
    levels.push(hashes);
    if (blocks === 1) break;
    data = hashes;
  }
  return levels;
}

/** Feeds `bytes` in chunks of the sizes given, over and over, through one buffer that is overwritten after every update. */
export async function feed(
  stream: { update(chunk: Uint8Array): Promise<void> },
  bytes: Uint8Array,
  chunkSizes: readonly number[],
): Promise<void> {
  for (let offset = 0, turn = 0; offset < bytes.length; turn++) {
    const size = Math.max(1, chunkSizes[turn % chunkSizes.length] ?? 1);
    const chunk = bytes.slice(offset, offset + size);
    await stream.update(chunk);
    chunk.fill(0xa5);
    offset += size;
  }
}

/** A digest's hashes as text: comparing long arrays element by element is slow. */
export function inHex(hashes: {
  readonly root: Uint8Array;
  readonly groups: Uint8Array | null;
  readonly leaves: Uint8Array | null;
}) {
  const { root, groups, leaves } = hashes;
  return { root: toHex(root), groups: groups && toHex(groups), leaves: leaves && toHex(leaves) };
}
