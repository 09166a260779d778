import type { OperationEvent } from '../../events/index.js';
import type { EventDraft } from './event-log.js';

/** The worker event for an event of the manager; null for those that readers do not get. */
export function toWorkerEvent(
  event: OperationEvent,
  generation: { readonly name: string; readonly number: number } | null,
): EventDraft | null {
  const about = {
    model: generation?.name ?? null,
    generation: generation?.number ?? null,
    shardId: event.shardId,
  };
  switch (event.type) {
    case 'shard.quarantined':
      return {
        type: 'shard.damaged',
        ...about,
        data: { reason: event.reason, leasesRevoked: event.leasesRevoked },
      };
    case 'damage.located':
      return {
        type: 'damage.located',
        ...about,
        data: {
          blocks: event.damaged.reduce((sum, { blocks }) => sum + blocks, 0),
          exact: event.exact,
          firstByte: event.damaged[0]?.byteOffset ?? null,
        },
      };
    case 'shard.healed':
      return {
        type: 'shard.healed',
        ...about,
        data: { blocks: event.healedBlocks, durationMs: event.durationMs },
      };
    case 'heal.failed':
      return { type: 'heal.failed', ...about, data: { code: event.error.code, detail: event.error.message } };
    case 'scrub.finished':
      return { type: 'scrub.finished', ...about, data: { ok: event.ok, durationMs: event.durationMs } };
    case 'drill.injected':
      return { type: 'drill.injected', ...about, data: { byte: event.byte, bit: event.bit } };
    default:
      return null;
  }
}
