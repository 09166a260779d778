import { BLOCK_BYTES, HASH_BYTES, HASHES_PER_BLOCK } from '../../digest/index.js';
import type { TreePart } from '../region-checks.js';

/** Levels of a tree over 2^53 - 1 bytes. */
const LEVELS = 7;
/** Capacity of an upper level in scratch, in nodes. */
const UPPER_NODES = 4096;

/** One level's place in the scratch pool, in units of 32 bytes. */
export interface ScratchLevel {
  /** Holds the run's pattern and is never written by a hash, so a copy that begins here is proved to be this run's. */
  readonly markSlot: number;
  /** Multiple of 128: nodes hashed before the last are whole. */
  readonly capacity: number;
}

/** How the scratch pool of a device is divided; its size depends on the window alone, never on a region. */
export interface ScratchShape {
  /** The most blocks hashed by one dispatch. */
  readonly windowBlocks: number;
  readonly levels: readonly ScratchLevel[];
  readonly byteLength: number;
}

export function scratchShape(windowBytes: number): ScratchShape {
  const windowBlocks = Math.floor(windowBytes / BLOCK_BYTES);
  const levels: ScratchLevel[] = [];
  let slot = 0;
  for (let level = 0; level < LEVELS; level++) {
    const leaves = Math.ceil(windowBlocks / HASHES_PER_BLOCK) * HASHES_PER_BLOCK;
    const capacity = level === 0 ? leaves : UPPER_NODES;
    levels.push({ markSlot: slot, capacity });
    slot += 1 + capacity;
  }
  return { windowBlocks, levels, byteLength: slot * HASH_BYTES };
}

/** `isLast`: it computes a node of the requested level. */
export type TreeStep =
  | {
      readonly kind: 'leaves';
      readonly firstBlock: number;
      readonly count: number;
      readonly outSlot: number;
      readonly isLast: boolean;
    }
  | {
      readonly kind: 'nodes';
      readonly inSlot: number;
      readonly inCount: number;
      readonly count: number;
      readonly outSlot: number;
      readonly isLast: boolean;
    }
  /** `count` nodes of the requested level lie after the mark and must be read back before the next step. */
  | { readonly kind: 'result'; readonly markSlot: number; readonly count: number };

/**
 * The sequence of dispatches that computes a part of the tree in a bounded pool: leaves by windows, and each level into
 * the next one whenever its buffer is full. Only the last hash of a level can have fewer than 128 inputs.
 */
export function* planTree(part: TreePart, shape: ScratchShape, resultNodes: number): Generator<TreeStep> {
  const waiting = shape.levels.map(() => 0);
  const place = (level: number): { first: number; room: number; used: number } => {
    const { markSlot, capacity } = shape.levels[level] ?? { markSlot: 0, capacity: 0 };
    const used = waiting[level] ?? 0;
    const limit = level === part.level ? Math.min(capacity, resultNodes) : capacity;
    return { first: markSlot + 1, room: limit - used, used };
  };

  function* empty(level: number): Generator<TreeStep> {
    const { first, used } = place(level);
    if (level === part.level) {
      if (used > 0) yield { kind: 'result', markSlot: first - 1, count: used };
      waiting[level] = 0;
      return;
    }
    for (let taken = 0; taken < used; ) {
      const above = place(level + 1);
      if (above.room === 0) {
        yield* empty(level + 1);
        continue;
      }
      const count = Math.min(above.room, Math.ceil((used - taken) / HASHES_PER_BLOCK));
      const inCount = Math.min(count * HASHES_PER_BLOCK, used - taken);
      const isLast = level + 1 === part.level;
      yield {
        kind: 'nodes',
        inSlot: first + taken,
        inCount,
        count,
        outSlot: above.first + above.used,
        isLast,
      };
      waiting[level + 1] = above.used + count;
      taken += inCount;
    }
    waiting[level] = 0;
  }

  for (let done = 0; done < part.blocks; ) {
    const leaves = place(0);
    if (leaves.room === 0) {
      yield* empty(0);
      continue;
    }
    const count = Math.min(shape.windowBlocks, leaves.room, part.blocks - done);
    const isLast = part.level === 0;
    yield {
      kind: 'leaves',
      firstBlock: part.firstBlock + done,
      count,
      outSlot: leaves.first + leaves.used,
      isLast,
    };
    waiting[0] = leaves.used + count;
    done += count;
  }
  for (let level = 0; level <= part.level; level++) yield* empty(level);
}
