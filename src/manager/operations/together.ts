import { GROUP_BYTES } from '../../digest/index.js';
import type { LiveShard } from '../state/index.js';

/** What a device hashes in one run at most. */
export const MAX_TOGETHER = 128;

/**
 * Neighbours whose bytes are one group of the tree at most, up to `limit` of them, since a device hashes those that are
 * asked for together in one run; every larger shard by itself.
 */
export function* together(shards: Iterable<LiveShard>, limit: number): Generator<readonly LiveShard[]> {
  let some: LiveShard[] = [];
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
