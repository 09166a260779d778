import {
  checkInteger,
  checkOneOf,
  checkOptions,
  invalidInput,
  MAX_INTEGER,
  type OptionKeys,
  throwIfAborted,
} from '../../base/index.js';
import type { FaultPort } from '../../device/index.js';
import { BLOCK_BYTES } from '../../digest/index.js';
import { type Operation, runOperation, TRACE_KEYS, type TraceOptions } from '../../events/index.js';
import { tensorPlace } from '../integrity/index.js';
import { resolveHandle } from '../operations/index.js';
import { type Core, type LiveShard, requireLive, terminationReason } from '../state/index.js';
import {
  type DamagePlan,
  type DrillArea,
  type DrillFlip,
  type DrillPattern,
  drawDamage,
  MAX_DRILL_BITS,
} from './damage.js';

export interface DrillOptions extends TraceOptions {
  /** Number of patterns to apply; default 1. */
  readonly flips?: number | undefined;
  /** An integer from 0; the same seed damages the same bits of the same bytes. Random if absent, and named in the report. */
  readonly seed?: number | undefined;
  /** Used in turn; default `['bit']`. */
  readonly patterns?: readonly DrillPattern[] | undefined;
  /** Default `data`. */
  readonly area?: DrillArea | undefined;
  readonly signal?: AbortSignal | undefined;
}

// Does not compile unless it lists exactly the options of the interface.
export const DRILL_KEYS = {
  ...TRACE_KEYS,
  flips: true,
  seed: true,
  patterns: true,
  area: true,
  signal: true,
} satisfies OptionKeys<DrillOptions>;

/** The result of a drill. */
export interface DrillReport {
  readonly shardId: string;
  readonly sealId: string;
  readonly seed: number;
  /** Every bit that was flipped, in the order of drawing; none twice. */
  readonly flips: readonly DrillFlip[];
  /** Numbers of the blocks of 4096 bytes that these lie in, ascending. */
  readonly blocks: readonly number[];
}

const PATTERNS = ['bit', 'neighbours', 'word', 'block', 'pair'] as const;
const AREAS = ['data', 'padding', 'both'] as const;
const SEED_BYTES = 4;
/** Records requested at once: an audit log writes them together. */
const RECORDS_AT_ONCE = 1_024;

/** Damages resident memory on purpose. See VramManager.drill. */
export async function drillShard(core: Core, handle: unknown, options: DrillOptions): Promise<DrillReport> {
  return await runOperation(core.events, 'drill', options, async (operation) => {
    checkOptions('options', options, DRILL_KEYS);
    if (!core.drills) throw invalidInput('drills', 'must be true when the manager is opened');
    const plan = checkPlan(core, options);
    const live = await resolveHandle(core, operation, handle);
    const { signal } = options;
    try {
      return await live.lock.with('exclusive', signal, async () => {
        core.lifecycle.requireServing();
        requireLive(live);
        return await damage(operation, live, plan, signal);
      });
    } catch (error) {
      throw terminationReason(core, signal, error);
    }
  });
}

type CheckedPlan = Omit<DamagePlan, 'byteLength' | 'read'>;

function checkPlan(
  core: Core,
  { flips = 1, seed, patterns = ['bit'], area = 'data' }: DrillOptions,
): CheckedPlan {
  if (!Array.isArray(patterns) || patterns.length === 0 || patterns.length > PATTERNS.length) {
    throw invalidInput('patterns', `must be an array of 1 to ${PATTERNS.length} patterns`);
  }
  return {
    flips: checkInteger('flips', flips, 1, MAX_DRILL_BITS),
    patterns: patterns.map((pattern) => checkOneOf('patterns', pattern, PATTERNS)),
    area: checkOneOf('area', area, AREAS),
    seed: seed === undefined ? randomSeed(core) : checkInteger('seed', seed, 0, MAX_INTEGER),
  };
}

function randomSeed({ crypto }: Core): number {
  return crypto.randomBytes(SEED_BYTES).reduce((seed, byte) => seed * 256 + byte, 0);
}

/** The caller holds the shard exclusively. The manager's state does not change, just as with a real fault. */
async function damage(
  operation: Operation,
  live: LiveShard,
  plan: CheckedPlan,
  signal: AbortSignal | undefined,
): Promise<DrillReport> {
  const { sealed, region } = live;
  const { faults } = region;
  if (faults === null) throw invalidInput('device', 'was not opened with drills: true');
  const drawn = await drawDamage({
    ...plan,
    byteLength: sealed.byteLength,
    read: (offset, length) => region.read(offset, length),
  });
  const flips = drawn.map((flip) => ({ ...flip, ...tensorPlace(sealed.manifest, flip.byte) }));
  throwIfAborted(signal);
  await recordAll(operation, sealed.sealId, flips);
  for (const [byte, mask] of masks(flips)) await faults.flip(byte, mask);
  return Object.freeze({
    shardId: sealed.shardId,
    sealId: sealed.sealId,
    seed: plan.seed,
    flips: Object.freeze(flips),
    blocks: Object.freeze(
      [...new Set(flips.map(({ byte }) => Math.floor(byte / BLOCK_BYTES)))].sort((a, b) => a - b),
    ),
  });
}

/** All flips are recorded before the first bit changes. Errors: AUDIT_FAILED, and then nothing has been flipped. */
async function recordAll(operation: Operation, sealId: string, flips: readonly DrillFlip[]): Promise<void> {
  for (let first = 0; first < flips.length; first += RECORDS_AT_ONCE) {
    const together = flips.slice(first, first + RECORDS_AT_ONCE);
    const failures = await Promise.all(
      together.map((flip) => operation.emit('drill.injected', { sealId, ...flip })),
    );
    const auditFailure = failures.find((failure) => failure !== null);
    if (auditFailure !== undefined) throw auditFailure;
  }
}

/** Bits of one byte are flipped together. */
function masks(flips: readonly DrillFlip[]): ReadonlyMap<number, Parameters<FaultPort['flip']>[1]> {
  const byByte = new Map<number, number>();
  for (const { byte, bit } of flips) byByte.set(byte, (byByte.get(byte) ?? 0) | (1 << bit));
  return byByte;
}
