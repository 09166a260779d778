import { hash } from 'node:crypto';
import { BLOCK_BYTES, HASH_BYTES } from '../../digest/index.js';
import { findNativeHasher } from '../../node/index.js';
import type { SealedShard } from '../../seal/index.js';
import { bytesSource } from '../../source/index.js';
import { measurePair, type Pair } from './measure.js';
import { type BenchSetting, openManager, randomBytes } from './setting.js';

const KIB = 1024;
const LEAVES_BYTES = 32 * KIB * KIB;
const SHARDS = 100;
const SHARD_BYTES = 64 * KIB;

/** Blocks hashed by the addon against node:crypto, on one core; null where the addon has no hasher for this processor. */
export async function leavesAgainstNode({ rounds, signal }: BenchSetting): Promise<Pair | null> {
  const hasher = findNativeHasher();
  if (hasher === null) return null;
  const blocks = randomBytes(LEAVES_BYTES);
  const hashes = new Uint8Array((LEAVES_BYTES / BLOCK_BYTES) * HASH_BYTES);
  return await measurePair(
    'leaves',
    {
      name: `blocks of 4096 bytes by ${hasher.name}, one core, 32 MiB`,
      run: async () => hasher.hash(blocks, hashes),
    },
    {
      name: 'node:crypto, block by block',
      run: async () => {
        for (let from = 0, to = 0; from < LEAVES_BYTES; from += BLOCK_BYTES, to += HASH_BYTES)
          hashes.set(hash('sha256', blocks.subarray(from, from + BLOCK_BYTES), 'buffer'), to);
      },
    },
    rounds,
    signal,
  );
}

/** Many small shards verified together against one by one. */
export async function setAgainstOneByOne(setting: BenchSetting): Promise<Pair> {
  const manager = await openManager(setting);
  const bytes = Math.min(SHARD_BYTES, setting.deviceBytes);
  try {
    const shards: SealedShard[] = [];
    for (let shardIndex = 0; shardIndex < SHARDS; shardIndex += 1) {
      setting.signal.throwIfAborted();
      const source = bytesSource(randomBytes(bytes));
      shards.push(await manager.seal(source, { modelRef: 'bench', shardIndex, totalShards: SHARDS }));
    }
    return await measurePair(
      'verify-set',
      {
        name: `verify ${SHARDS} shards of ${bytes / KIB} KiB together`,
        run: () => manager.verifySet('bench'),
      },
      {
        name: 'one by one',
        run: async () => {
          for (const shard of shards) await manager.verify(shard);
        },
      },
      setting.rounds,
      setting.signal,
    );
  } finally {
    await manager.close();
  }
}
