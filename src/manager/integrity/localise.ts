import { type DamagedRange, equalBytes, throwIfAborted, VramError } from '../../base/index.js';
import { BLOCK_BYTES, GROUP_BYTES, HASH_BYTES, treeLayout } from '../../digest/index.js';
import { hasRanges, type RangedSource, type Source, sourceFailure } from '../../source/index.js';
import type { Core, LiveShard } from '../state/index.js';
import { toRanges } from './block-ranges.js';
import { BLOCKS_PER_GROUP, hashAt, keptDamaged, requireGroupsGenuine } from './retained-hashes.js';
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
  /** Why the source could not name single blocks; null if it was not asked or answered. */
  readonly sourceFailure: unknown;
}

export interface LocaliseOptions {
  readonly source?: Source | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Finds out in place where a shard is damaged: its level-1 nodes against the kept ones, then within damaged groups the leaves against the kept ones or
 * those of the source. Errors: INTEGRITY_VIOLATION if the kept hashes themselves are damaged, and the region's.
 */
export async function localise(core: Core, live: LiveShard, options: LocaliseOptions): Promise<Localisation> {
  await requireGroupsGenuine(core, live);
  const groups = await damagedGroups(live, options.signal);
  const blocks: number[] = [];
  let exact = true;
  let sourceFailure: unknown = null;
  // What was found in place stands, whatever becomes of the source.
  const withoutSource = (error: unknown): null => {
    throwIfAborted(options.signal);
    sourceFailure ??= error;
    return null;
  };
  for (const group of groups) {
    const expected =
      live.kept.leaves === null
        ? await sourceLeaves(core, live, group, options).catch(withoutSource)
        : await keptLeaves(core, live, group, live.kept.leaves);
    const actual = await residentLeaves(live, group, options.signal);
    exact &&= expected !== null;
    const first = group * BLOCKS_PER_GROUP;
    for (let block = 0; block < actual.length / HASH_BYTES; block++) {
      if (expected === null || !equalBytes(hashAt(expected, block), hashAt(actual, block)))
        blocks.push(first + block);
    }
  }
  const damaged = nameTensors(toRanges(blocks, live.sealed.byteLength), live.sealed.manifest);
  return { groups, damaged, exact, sourceFailure };
}

async function damagedGroups(live: LiveShard, signal: AbortSignal | undefined): Promise<number[]> {
  const { level, groups: total } = groupLevel(live.sealed.byteLength);
  const damaged: number[] = [];
  for (let first = 0; first < total; first += NODES_PER_FETCH) {
    const count = Math.min(NODES_PER_FETCH, total - first);
    const nodes = await live.region.nodes(level, first, count, { signal });
    for (let index = 0; index < count; index++) {
      if (!equalBytes(hashAt(nodes, index), hashAt(live.kept.groups, first + index)))
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
  const kept = leaves.subarray(first * HASH_BYTES, (first + blocksInGroup(live, group)) * HASH_BYTES);
  if (!(await isSealedGroup(core, live, group, kept))) throw keptDamaged();
  return kept;
}

/** What the leaves of a group must be; null without a source that still matches the seal. */
async function sourceLeaves(
  core: Core,
  live: LiveShard,
  group: number,
  { source, signal }: LocaliseOptions,
): Promise<Uint8Array | null> {
  if (source === undefined || !hasRanges(source) || source.byteLength !== live.sealed.byteLength) return null;
  const bytes = await readGroup(live, source, group, signal);
  const hashes = await core.engine.leaves(bytes);
  return (await isSealedGroup(core, live, group, hashes)) ? hashes : null;
}

/** Whether leaf hashes lead to the kept node of their group. */
export async function isSealedGroup(
  core: Core,
  live: LiveShard,
  group: number,
  leaves: Uint8Array,
): Promise<boolean> {
  const single = treeLayout(live.sealed.byteLength).blocks === 1;
  const node = single ? leaves : await core.engine.nodes(leaves);
  return equalBytes(node, hashAt(live.kept.groups, group));
}

/** The bytes of one group as the source has them. Errors: SOURCE_MISMATCH, ABORTED. */
export async function readGroup(
  live: LiveShard,
  source: RangedSource,
  group: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const offset = group * GROUP_BYTES;
  return await readSource(source, offset, Math.min(GROUP_BYTES, live.sealed.byteLength - offset), signal);
}

/** Errors: SOURCE_MISMATCH for a source that gives another number of bytes. */
export async function readSource(
  source: RangedSource,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  try {
    const bytes = await source.readRange(offset, length);
    if (!(bytes instanceof Uint8Array) || bytes.length !== length) {
      throw new VramError(
        'SOURCE_MISMATCH',
        `the source "${source.label}" did not give ${length} bytes at ${offset}`,
      );
    }
    // A copy: what is checked must be what is written, whatever the source does with its buffer meanwhile.
    return bytes.slice();
  } catch (error) {
    throw sourceFailure(error, signal);
  }
}

function blocksInGroup(live: LiveShard, group: number): number {
  const blocks = Math.ceil(live.sealed.byteLength / BLOCK_BYTES);
  return Math.min(BLOCKS_PER_GROUP, blocks - group * BLOCKS_PER_GROUP);
}
