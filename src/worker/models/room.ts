import type { Capacity } from '../../manager/index.js';
import type { Generation } from './generation.js';
import type { Reservations } from './reservations.js';

/** Drivers hand out device memory in units of this size; a shard takes whole ones. */
const UNIT_BYTES = 2 * 2 ** 20;

/** Device bytes that shards will take, as far as can be known before allocation. */
export function plannedBytes(shards: readonly { readonly byteLength: number }[]): number {
  return shards.reduce((sum, { byteLength }) => sum + Math.ceil(byteLength / UNIT_BYTES) * UNIT_BYTES, 0);
}

/**
 * Bytes left for another plan: what the manager may still allocate, less what is reserved and not yet allocated. null where
 * neither the platform nor a budget limits memory.
 */
export function roomFor(
  { availableBytes, usedBytes }: Capacity,
  generations: readonly Pick<Generation, 'state' | 'plannedBytes'>[],
  reservations: Reservations,
): number | null {
  if (availableBytes === null) return null;
  const settled = generations.filter(({ state }) => state === 'resident' || state === 'releasing');
  const loading = generations.filter(({ state }) => state === 'loading');
  const sum = (all: typeof settled): number => all.reduce((bytes, one) => bytes + one.plannedBytes, 0);
  // Memory used beyond the settled generations belongs to loads under way and must not count twice.
  const takenByLoads = Math.max(0, usedBytes - sum(settled));
  const outstanding = Math.max(0, sum(loading) - takenByLoads);
  return Math.max(0, availableBytes - outstanding - reservations.bytes);
}
