import type { ModelState, ModelView } from '../../api-schema/index.js';
import type { Generation } from './generation.js';
import type { ModelEntry } from './model-table.js';
import type { ShardWatch } from './shard-watch.js';

/** A model's status. */
export function modelView(entry: ModelEntry, watch: ShardWatch): ModelView | null {
  const shown = entry.current ?? entry.next;
  if (shown === null) return null;
  const next = entry.current === null ? null : entry.next;
  const shards = shown.shards.map(({ sealed, from }) => {
    const { shardId, sealId, byteLength, sha256, fsverity, sealedAt } = sealed;
    return {
      shardId,
      sealId,
      label: from.label,
      byteLength,
      sha256,
      fsverity,
      sealedAt,
      ...watch.of(sealId),
    };
  });
  return {
    name: shown.name,
    generation: shown.number,
    state: stateOf(
      shown,
      shards.some(({ quarantined }) => quarantined),
    ),
    byteLength: shown.source.byteLength,
    layout: shown.options.layout,
    shared: shown.options.share,
    part: shown.part,
    shards,
    progress: progressOf(shown),
    failure: shown.failure,
    next: next === null ? null : nextView(next),
  };
}

function nextView(next: Generation): ModelView['next'] {
  return { generation: next.number, progress: progressOf(next), failure: next.failure };
}

function progressOf({ state, progress }: Generation): Generation['progress'] | null {
  return state === 'loading' ? progress : null;
}

function stateOf({ state }: Generation, damaged: boolean): ModelState {
  if (state !== 'resident') return state;
  return damaged ? 'damaged' : 'ready';
}
