import { GROUP_BYTES } from '../../digest/index.js';

/** Most shards that a device hashes in one run. */
export const MAX_TOGETHER = 128;

/**
 * Groups neighbours of at most one tree group each, up to `limit` of them, because a device hashes simultaneous small
 * requests in one run; every larger shard stands alone.
 */
export function* together<Shard extends { readonly sealed: { readonly byteLength: number } }>(
  shards: Iterable<Shard>,
  limit: number,
): Generator<readonly Shard[]> {
  let some: Shard[] = [];
  for (const live of shards) {
    const small = live.sealed.byteLength <= GROUP_BYTES;
    if (some.length > 0 && (!small || some.length >= limit)) {
      yield some;
      some = [];
    }
    if (small) some.push(live);
    else yield [live];
  }
  if (some.length > 0) yield some;
}
