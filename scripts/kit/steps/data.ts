import { randomFillSync } from 'node:crypto';
import { HASH_BYTES, HASHES_PER_BLOCK } from '../../../src/digest/types.js';
import { createNodeEngine } from '../../../src/node/digest/create-engine.js';
import type { Source } from '../../../src/source/types.js';

/**
 * One chunk of generated data, the unit of everything built from it: a power of two, so that the tree over its
 * repetitions repeats too.
 */
export const CHUNK_BYTES = 2 ** 20;

/** Random bytes, the same throughout one process. They switch as many bits as real weights; zeros would not. */
export const CHUNK: Uint8Array = randomFillSync(new Uint8Array(CHUNK_BYTES));

/** `byteLength` bytes that repeat the chunk. They can be read any number of times, also to heal from. */
export function repeatedSource(byteLength: number, label = 'made data'): Source {
  return {
    byteLength,
    label,
    async *stream({ chunkBytes }) {
      const step = Math.min(chunkBytes, CHUNK_BYTES);
      for (let at = 0; at < byteLength; at += step) {
        const from = at % CHUNK_BYTES;
        yield CHUNK.subarray(from, from + Math.min(step, CHUNK_BYTES - from, byteLength - at));
      }
    },
    async readRange(offset, length) {
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; ) {
        const from = (offset + at) % CHUNK_BYTES;
        const part = CHUNK.subarray(from, from + Math.min(CHUNK_BYTES - from, length - at));
        bytes.set(part, at);
        at += part.length;
      }
      return bytes;
    },
    async unchanged() {
      // Generated, not stored: it cannot change.
    },
    async close() {
      // Nothing is open.
    },
  };
}

/**
 * Root of the fs-verity tree over `byteLength` bytes of repeated chunks (a power of two, at least one chunk), computed on
 * the host: a level is one run of hashes and its repeat count, so that equal parts are hashed once.
 */
export async function repeatedRoot(byteLength: number): Promise<Uint8Array> {
  const engine = createNodeEngine();
  try {
    let repeats = byteLength / CHUNK_BYTES;
    let run = await engine.leaves(CHUNK);
    while ((run.length / HASH_BYTES) * repeats > 1) {
      const hashes = run.length / HASH_BYTES;
      const together = hashes < HASHES_PER_BLOCK ? Math.min(repeats, HASHES_PER_BLOCK / hashes) : 1;
      const blocks = new Uint8Array(run.length * together);
      for (let i = 0; i < together; i++) blocks.set(run, i * run.length);
      run = await engine.nodes(blocks);
      repeats /= together;
    }
    return run;
  } finally {
    await engine.close();
  }
}
