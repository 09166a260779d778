import { checkOptions, type DamagedRange, equalBytes, throwIfAborted, VramError } from '../../base/index.js';
import { BLOCK_BYTES, HASH_BYTES } from '../../digest/index.js';
import { eventError, type Operation, runOperation } from '../../events/index.js';
import { checkSource, requireRanges, type Source, type SourceReader } from '../../source/index.js';
import {
  BLOCKS_PER_GROUP,
  blocksOf,
  emitQuarantine,
  hashAt,
  isSealedGroup,
  type Localisation,
  localise,
  measure,
  nameTensors,
  quarantine,
  readGroup,
  residentDigest,
  residentLeaves,
  toRanges,
} from '../integrity/index.js';
import {
  type Core,
  deviceEnd,
  type LiveShard,
  OPERATION_KEYS,
  type OperationOptions,
  readerOf,
  requireLive,
  terminationReason,
  withSignals,
} from '../state/index.js';
import { resolveHandle } from './resolve.js';

/** Rounds of healing: new damage may appear meanwhile, but memory that keeps failing is not worth healing. */
const MAX_ROUNDS = 3;

/** What healing repaired. */
export interface HealReport {
  readonly shardId: string;
  readonly sealId: string;
  /** 0 if the resident bytes were already as sealed. */
  readonly healedBlocks: number;
  /** Single blocks, ascending; by tensor where the layout is `tensors`. */
  readonly healed: readonly DamagedRange[];
  /** Read from the source, checks included. */
  readonly sourceBytes: number;
  /** The digest of the whole region afterwards: the sealed one. */
  readonly fsverity: string;
  readonly durationMs: number;
}

/** Repairs damaged blocks from the source. See VramManager.heal. */
export async function healShard(
  core: Core,
  handle: unknown,
  source: Source,
  options: OperationOptions,
): Promise<HealReport> {
  return await runOperation(core.events, 'heal', options, async (operation) => {
    checkOptions('options', options, OPERATION_KEYS);
    checkSource(source);
    requireRanges(source);
    const live = await resolveHandle(core, operation, handle);
    try {
      // A stopped manager still heals, also one that the damage found here has stopped.
      return await withSignals([options.signal, deviceEnd(core), live.releasing.signal], (signal) =>
        live.lock.with('exclusive', signal, async () => {
          core.lifecycle.requireDevice();
          requireLive(live);
          const reader = readerOf(core, source, [signal]);
          return await healLive(core, operation, live, reader, { ...options, signal });
        }),
      );
    } catch (error) {
      const ending = terminationReason(core, options.signal, error, live);
      const failed = { sealId: live.sealed.sealId, error: eventError(ending) };
      await operation.emit('heal.failed', failed, operation.elapsedMs);
      throw ending;
    }
  });
}

/**
 * The healing itself; the caller holds the shard exclusively. The quarantine is lifted once the whole region is
 * verified as sealed and that is recorded. Other processes that map the memory are paused before the first block is
 * written.
 */
export async function healLive(
  core: Core,
  operation: Operation,
  live: LiveShard,
  source: SourceReader,
  options: OperationOptions,
): Promise<HealReport> {
  try {
    return await repair(core, operation, live, source, options);
  } finally {
    // Processes paused for a healing that failed must not resume.
    if (live.condition !== 'sound') live.holders.revoke('damaged');
    live.holders.resume();
  }
}

async function repair(
  core: Core,
  operation: Operation,
  live: LiveShard,
  source: SourceReader,
  options: OperationOptions,
): Promise<HealReport> {
  const { sealed, freshness } = live;
  const { signal } = options;
  const began = core.clock.monotonic();
  if (source.byteLength !== sealed.byteLength) throw foreignSource(source, 0);
  const healed = new Set<number>();
  const read = { bytes: 0 };
  for (let round = 1; ; round++) {
    const damage = await freshness.during(() => localise(core, live, signal));
    if (damage.groups.length > 0) await lockAway(core, operation, live);
    const repairs = { source, damage, read, healed, signal };
    // All of it is checked before any of it is written: a source that does not match heals nothing, unless it changes
    // meanwhile.
    await operation.stage('compare', null, () => walkRepairs(core, live, repairs, null));
    await operation.stage('patch', null, () =>
      walkRepairs(core, live, repairs, async (block, bytes) => {
        await live.region.patch(block, bytes);
        healed.add(block);
      }),
    );
    const { verdict, actual } = await operation.stage('device-tree', sealed.byteLength, () =>
      freshness.during(() =>
        measure(
          sealed.fsverity,
          () => residentDigest(core, live.region, options),
          () => freshness.doubt(),
        ),
      ),
    );
    if (verdict === 'equal')
      return await lift(core, operation, live, source, { actual, began, healed, read });
    if (verdict === 'transient')
      throw new VramError('DEVICE_UNAVAILABLE', 'the device gave two digests of the same bytes');
    // Also if no damage was located: the digest of the whole region differs.
    await lockAway(core, operation, live);
    if (round === MAX_ROUNDS) {
      throw new VramError(
        'INTEGRITY_VIOLATION',
        `the bytes were damaged again ${MAX_ROUNDS} times while they were healed; release the shard`,
      );
    }
  }
}

/** Damage found during healing counts like any other; processes that map the memory stop reading first. */
async function lockAway(core: Core, operation: Operation, live: LiveShard): Promise<void> {
  await live.holders.pause();
  if (live.condition !== 'sound') return;
  const auditFailure = await emitQuarantine(operation, live, quarantine(core, live));
  if (auditFailure !== null) throw auditFailure;
}

type Write = (block: number, bytes: Uint8Array) => Promise<void>;

interface Repair {
  readonly source: SourceReader;
  readonly damage: Localisation;
  readonly read: { bytes: number };
  /** Blocks patched so far. */
  readonly healed: ReadonlySet<number>;
  readonly signal: AbortSignal | undefined;
}

/**
 * Reads the damaged parts from the source, checks them against the sealed tree, and yields the blocks that differ in
 * device memory.
 */
async function walkRepairs(core: Core, live: LiveShard, repair: Repair, write: Write | null): Promise<void> {
  const { source, read, healed, signal } = repair;
  const { groups, damaged } = repair.damage;
  if (live.retained.leaves !== null) {
    for (const block of blocksOf(damaged)) {
      throwIfAborted(signal);
      const bytes = await sealedBlock(core, live, repair, block, live.retained.leaves);
      read.bytes += bytes.length;
      await write?.(block, bytes);
    }
    return;
  }
  for (const group of groups) {
    throwIfAborted(signal);
    const bytes = await readGroup(live, source, group);
    read.bytes += bytes.length;
    const leaves = await core.engine.leaves(bytes);
    if (!(await isSealedGroup(core, live, group, leaves))) throw foreignSource(source, healed.size);
    if (write !== null) await writeDifferent(live, group, bytes, leaves, signal, write);
  }
}

async function writeDifferent(
  live: LiveShard,
  group: number,
  bytes: Uint8Array,
  leaves: Uint8Array,
  signal: AbortSignal | undefined,
  write: Write,
): Promise<void> {
  const resident = await residentLeaves(live, group, signal);
  for (let index = 0; index < leaves.length / HASH_BYTES; index++) {
    if (equalBytes(hashAt(leaves, index), hashAt(resident, index))) continue;
    await write(
      group * BLOCKS_PER_GROUP + index,
      bytes.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES),
    );
  }
}

async function sealedBlock(
  core: Core,
  live: LiveShard,
  { source, healed }: Repair,
  block: number,
  leaves: Uint8Array,
): Promise<Uint8Array> {
  const offset = block * BLOCK_BYTES;
  const bytes = await source.range(offset, Math.min(BLOCK_BYTES, live.sealed.byteLength - offset));
  if (!equalBytes(await core.engine.leaves(bytes), hashAt(leaves, block)))
    throw foreignSource(source, healed.size);
  return bytes;
}

async function lift(
  core: Core,
  operation: Operation,
  live: LiveShard,
  source: SourceReader,
  done: { actual: string; began: number; healed: ReadonlySet<number>; read: { bytes: number } },
): Promise<HealReport> {
  const { sealed } = live;
  const blocks = [...done.healed].sort((a, b) => a - b);
  const healed = nameTensors(toRanges(blocks, sealed.byteLength), sealed.manifest);
  const durationMs = core.clock.monotonic() - done.began;
  await operation.record(
    'shard.healed',
    { sealId: sealed.sealId, healedBlocks: blocks.length, healed, source: source.label },
    durationMs,
  );
  requireLive(live);
  live.condition = 'sound';
  return Object.freeze({
    shardId: sealed.shardId,
    sealId: sealed.sealId,
    healedBlocks: blocks.length,
    healed,
    sourceBytes: done.read.bytes,
    fsverity: done.actual,
    durationMs,
  });
}

function foreignSource(source: SourceReader, healedBlocks: number): VramError {
  const done =
    healedBlocks === 0
      ? 'nothing was healed'
      : `it changed after ${healedBlocks} blocks were healed, and the shard stays in quarantine`;
  return new VramError(
    'SOURCE_MISMATCH',
    `the source "${source.label}" does not hold the bytes that were sealed; ${done}`,
  );
}
