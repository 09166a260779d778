import type { Region } from '../../device/index.js';
import { HASH_BYTES, treeLayout } from '../../digest/index.js';
import type { Core, RetainedHashes } from '../state/index.js';
import { groupLevel } from './sample.js';

/** Hashes fetched at once: 128 KiB of them. */
const HASHES_PER_FETCH = 4096;

/**
 * The hashes retained on the host for a shard, computed by the device over its frozen bytes. They are unproved until they
 * lead to the sealed digest.
 */
export async function fetchRetained(
  core: Core,
  region: Region,
  signal: AbortSignal,
): Promise<RetainedHashes> {
  const { level, groups } = groupLevel(region.byteLength);
  if (core.keep === 'groups')
    return { groups: await fetchLevel(region, level, groups, signal), leaves: null };
  const leaves = await fetchLevel(region, 0, treeLayout(region.byteLength).blocks, signal);
  // The groups are computed from the leaves here, so that proving the groups proves the leaves.
  return { groups: level === 0 ? leaves : await core.engine.nodes(leaves), leaves };
}

async function fetchLevel(
  region: Region,
  level: number,
  total: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const hashes = new Uint8Array(total * HASH_BYTES);
  for (let first = 0; first < total; first += HASHES_PER_FETCH) {
    const count = Math.min(HASHES_PER_FETCH, total - first);
    hashes.set(await region.nodes(level, first, count, { signal }), first * HASH_BYTES);
  }
  return hashes;
}
