import { type DamagedRange, equalBytes } from '../../base/index.js';
import { BLOCK_BYTES, GROUP_BYTES, HASH_BYTES, treeLayout } from '../../digest/index.js';
import type { SourceReader } from '../../source/index.js';
import type { Core, LiveShard } from '../state/index.js';
import { toRanges } from './block-ranges.js';
import { BLOCKS_PER_GROUP, hashAt, requireGroupsGenuine, retainedHashesDamaged } from './retained-hashes.js';
import { groupLevel } from './sample.js';
import { nameTensors } from './tensor-places.js';

/** Group hashes fetched at once: 128 KiB of them, for 2 GiB of weights. */
const NODES_PER_FETCH = 4096;

export interface Localisation {
  /** Damaged groups, ascending. */
  readonly groups: readonly number[];
  readonly damaged: readonly DamagedRange[];
  /** Whether `damaged` names single blocks; else whole groups. */
  readonly exact: boolean;
}

/**
 * Locates the damage of a shard in place: its level-1 nodes against the retained ones, then within damaged groups the
 * leaves, if leaves are retained. Errors: INTEGRITY_VIOLATION if the retained hashes themselves are damaged, and the
 * region's.
 */
export async function localise(
  core: Core,
  live: LiveShard,
  signal: AbortSignal | undefined,
): Promise<Localisation> {
  await requireGroupsGenuine(core, live);
  const groups = await damagedGroups(live, signal);
  const { leaves } = live.retained;
  const blocks: number[] = [];
  for (const group of groups) {
    if (leaves === null) blocks.push(...blocksOfGroup(live, group));
    else {
      const expected = await keptLeaves(core, live, group, leaves);
      blocks.push(...differentBlocks(group, expected, await residentLeaves(live, group, signal)));
    }
  }
  const damaged = nameTensors(toRanges(blocks, live.sealed.byteLength), live.sealed.manifest);
  return { groups, damaged, exact: leaves !== null || groups.length === 0 };
}

async function damagedGroups(live: LiveShard, signal: AbortSignal | undefined): Promise<number[]> {
  const { level, groups: total } = groupLevel(live.sealed.byteLength);
  const damaged: number[] = [];
  for (let first = 0; first < total; first += NODES_PER_FETCH) {
    const count = Math.min(NODES_PER_FETCH, total - first);
    const nodes = await live.region.nodes(level, first, count, { signal });
    for (let index = 0; index < count; index++) {
      if (!equalBytes(hashAt(nodes, index), hashAt(live.retained.groups, first + index)))
        damaged.push(first + index);
    }
  }
  return damaged;
}

/** The leaf hashes of one group of the resident bytes, hashed in place. */
export async function residentLeaves(
  live: LiveShard,
  group: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const first = group * BLOCKS_PER_GROUP;
  return await live.region.nodes(0, first, blocksInGroup(live, group), { signal });
}

async function keptLeaves(
  core: Core,
  live: LiveShard,
  group: number,
  leaves: Uint8Array,
): Promise<Uint8Array> {
  const first = group * BLOCKS_PER_GROUP;
  const retained = leaves.subarray(first * HASH_BYTES, (first + blocksInGroup(live, group)) * HASH_BYTES);
  if (!(await isSealedGroup(core, live, group, retained))) throw retainedHashesDamaged();
  return retained;
}

/** Whether leaf hashes lead to the retained node of their group. */
export async function isSealedGroup(
  core: Core,
  live: LiveShard,
  group: number,
  leaves: Uint8Array,
): Promise<boolean> {
  const single = treeLayout(live.sealed.byteLength).blocks === 1;
  const node = single ? leaves : await core.engine.nodes(leaves);
  return equalBytes(node, hashAt(live.retained.groups, group));
}

/** The bytes of one group from the source. Errors: SOURCE_MISMATCH, INVALID_INPUT, ABORTED. */
export async function readGroup(live: LiveShard, source: SourceReader, group: number): Promise<Uint8Array> {
  const offset = group * GROUP_BYTES;
  return await source.range(offset, Math.min(GROUP_BYTES, live.sealed.byteLength - offset));
}

/** The numbers of the blocks of a group whose leaf hashes are not the expected ones, ascending. */
export function differentBlocks(group: number, expected: Uint8Array, actual: Uint8Array): number[] {
  const first = group * BLOCKS_PER_GROUP;
  return Array.from({ length: actual.length / HASH_BYTES }, (_, index) => first + index).filter(
    (_, index) => !equalBytes(hashAt(expected, index), hashAt(actual, index)),
  );
}

/** The numbers of all blocks of a group, ascending. */
export function blocksOfGroup(live: LiveShard, group: number): number[] {
  const first = group * BLOCKS_PER_GROUP;
  return Array.from({ length: blocksInGroup(live, group) }, (_, index) => first + index);
}

function blocksInGroup(live: LiveShard, group: number): number {
  const blocks = Math.ceil(live.sealed.byteLength / BLOCK_BYTES);
  return Math.min(BLOCKS_PER_GROUP, blocks - group * BLOCKS_PER_GROUP);
}
