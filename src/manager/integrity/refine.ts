import type { SourceReader } from '../../source/index.js';
import type { Core, LiveShard } from '../state/index.js';
import { toRanges } from './block-ranges.js';
import {
  blocksOfGroup,
  differentBlocks,
  isSealedGroup,
  type Localisation,
  readGroup,
  residentLeaves,
} from './localise.js';
import { nameTensors } from './tensor-places.js';

export interface Refinement {
  readonly found: Localisation;
  /** Why the source could not name single blocks; null if it was not used or did name them. */
  readonly failure: unknown;
}

/**
 * Names single blocks of damaged groups by comparing with a source that still has the sealed bytes. The findings in place
 * stand even if the source fails; after a failure it is not read again. Never rejects.
 */
export async function refine(
  core: Core,
  live: LiveShard,
  found: Localisation,
  source: SourceReader,
  signal: AbortSignal | undefined,
): Promise<Refinement> {
  if (found.exact || !source.isRanged || source.byteLength !== live.sealed.byteLength) {
    return { found, failure: null };
  }
  const blocks: number[] = [];
  let exact = true;
  let failure: unknown = null;
  for (const group of found.groups) {
    let named: number[] | null = null;
    try {
      if (failure === null) named = await damagedBlocks(core, live, group, source, signal);
    } catch (error) {
      failure = error;
    }
    exact &&= named !== null;
    blocks.push(...(named ?? blocksOfGroup(live, group)));
  }
  const damaged = nameTensors(toRanges(blocks, live.sealed.byteLength), live.sealed.manifest);
  return { found: { ...found, damaged, exact }, failure };
}

/** null if the source does not have the group's sealed bytes. */
async function damagedBlocks(
  core: Core,
  live: LiveShard,
  group: number,
  source: SourceReader,
  signal: AbortSignal | undefined,
): Promise<number[] | null> {
  const expected = await core.engine.leaves(await readGroup(live, source, group));
  if (!(await isSealedGroup(core, live, group, expected))) return null;
  return differentBlocks(group, expected, await residentLeaves(live, group, signal));
}
