import type { Region } from '../../../../src/device/index.js';
import { createPortableEngine } from '../../../../src/digest/index.js';
import type { Core } from '../../../../src/manager/state/core.js';
import type { LiveShard, RetainedHashes } from '../../../../src/manager/state/shard-table.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { bytesSource, type Source } from '../../../../src/source/index.js';

export const GROUP = 524_288;

export const BLOCK = 4096;

/** What the parts under test use of a manager. */
export function part(engine = createPortableEngine()): Core {
  return { engine, crypto: nodeCrypto } as unknown as Core;
}

/** A shard over bytes in host memory, and what its region is asked. */
export async function shardOver(bytes: Uint8Array, leavesRetained: boolean, resident = bytes) {
  const engine = createPortableEngine();
  const stream = engine.start({ byteLength: bytes.length, sha256: false, keep: 'leaves' });
  await stream.update(bytes);
  const digest = await stream.finish();
  const asked: unknown[][] = [];
  const region = {
    byteLength: bytes.length,
    nodes: async (level: number, first: number, count: number, options: unknown) => {
      asked.push([level, first, count, options]);
      const leaves = await engine.leaves(resident);
      const hashes = level === 0 ? leaves : await engine.nodes(leaves);
      return hashes.slice(first * 32, (first + count) * 32);
    },
  } as unknown as Region;
  const groups = (digest.groups ?? digest.root).slice();
  const retained: RetainedHashes = {
    groups,
    leaves: leavesRetained ? (digest.leaves?.slice() ?? null) : null,
  };
  const sealed = { byteLength: bytes.length, fsverity: digest.fsverity, shardId: 'a', manifest: null };
  return { live: { sealed, region, retained } as unknown as LiveShard, asked, engine };
}

/** The bytes with some of them changed. */
export function damaged(bytes: Uint8Array, ...at: number[]): Uint8Array {
  const copy = bytes.slice();
  for (const byte of at) copy[byte] = (copy[byte] ?? 0) ^ 1;
  return copy;
}

/** A source that remembers what it was asked for. */
export function asked(bytes: Uint8Array): { source: Source; reads: number[][] } {
  const reads: number[][] = [];
  return {
    reads,
    source: {
      ...bytesSource(bytes),
      readRange: async (offset: number, length: number) => {
        reads.push([offset, length]);
        return bytes.slice(offset, offset + length);
      },
    },
  };
}
