import { equalBytes, type SampleReport } from '../../base/index.js';
import type { CryptoProvider } from '../../crypto/index.js';
import { treeLayout } from '../../digest/index.js';
import type { LiveShard } from '../state/index.js';
import { hashAt } from './retained-hashes.js';

const TOLD_DAMAGE = [1, 2, 4, 8, 16, 32, 64, 128];

export function describeSample(groups: number, totalGroups: number): SampleReport {
  return Object.freeze({
    groups,
    totalGroups,
    chanceOfMiss: TOLD_DAMAGE.filter((damaged) => damaged <= totalGroups).map((damagedGroups) => ({
      damagedGroups,
      chance: chanceOfMiss(totalGroups, groups, damagedGroups),
    })),
  });
}

/** C(total - damaged, drawn) / C(total, drawn): the draw is without replacement. */
export function chanceOfMiss(totalGroups: number, drawn: number, damaged: number): number {
  let chance = 1;
  for (let index = 0; index < damaged; index++) {
    chance *= Math.max(totalGroups - drawn - index, 0) / (totalGroups - index);
  }
  return chance;
}

/** Level-1 nodes of a shard; data of one block has its leaf for one. */
export function groupLevel(byteLength: number): { readonly level: number; readonly groups: number } {
  const { levels } = treeLayout(byteLength);
  const level = Math.min(1, levels.length - 1);
  return { level, groups: levels[level]?.nodes ?? 0 };
}

/** `count` different numbers below `total`, ascending, all draws equally likely (Floyd's algorithm). */
export function drawGroups(crypto: CryptoProvider, count: number, total: number): number[] {
  const drawn = new Set<number>();
  for (let top = total - count; top < total; top++) {
    const candidate = uniform(crypto, top + 1);
    drawn.add(drawn.has(candidate) ? top : candidate);
  }
  return [...drawn].sort((a, b) => a - b);
}

/**
 * A number below `bound`, at most 2^48, from a cryptographic source; draws beyond the last whole multiple are thrown away,
 * so none is favoured.
 */
function uniform(crypto: CryptoProvider, bound: number): number {
  const range = 2 ** 48;
  const limit = range - (range % bound);
  for (;;) {
    const bytes = crypto.randomBytes(6);
    const value = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
    if (value < limit) return value % bound;
  }
}

/**
 * Whether the given groups hash in place to their retained nodes, which the caller has checked. Ascending; neighbours are
 * hashed in one run.
 */
export async function groupsMatch(
  live: LiveShard,
  groups: readonly number[],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const { level } = groupLevel(live.sealed.byteLength);
  let same = true;
  for (let at = 0; at < groups.length; ) {
    const first = groups[at] ?? 0;
    let count = 1;
    while (groups[at + count] === first + count) count++;
    const nodes = await live.region.nodes(level, first, count, { signal });
    for (let index = 0; index < count; index++) {
      same &&= equalBytes(hashAt(nodes, index), hashAt(live.retained.groups, first + index));
    }
    at += count;
  }
  return same;
}
