import type { BlockRange } from '../../api-schema/index.js';
import type { DamagedRange } from '../../base/index.js';
import type { Observer, OperationEvent } from '../../events/index.js';

const BLOCK_BYTES = 4_096;
/** Limit of ranges per shard, which keeps a status small. */
const MOST_RANGES = 64;

export interface ShardHealth {
  readonly quarantined: boolean;
  /** Known damaged ranges; the first 64. */
  readonly damaged: readonly BlockRange[];
  /** When its latest good verification of the whole shard began; RFC 3339, or null. */
  readonly lastVerifiedAt: string | null;
  readonly lastScrubbedAt: string | null;
}

const UNKNOWN: ShardHealth = {
  quarantined: false,
  damaged: [],
  lastVerifiedAt: null,
  lastScrubbedAt: null,
};

/**
 * Follows the health of live shards through the manager's events. Must be an observer of the manager from its opening on.
 */
export class ShardWatch implements Observer {
  readonly name = 'worker';
  readonly required = false;
  readonly #health = new Map<string, ShardHealth>();
  #follower: (event: OperationEvent) => void = () => undefined;

  /** Forwards every event from now on. */
  follow(follower: (event: OperationEvent) => void): void {
    this.#follower = follower;
  }

  of(sealId: string): ShardHealth {
    return this.#health.get(sealId) ?? UNKNOWN;
  }

  forget(sealId: string): void {
    this.#health.delete(sealId);
  }

  on(event: OperationEvent): void {
    switch (event.type) {
      case 'vram.sealed':
        this.#set(event.sealId, { quarantined: false, damaged: [], lastVerifiedAt: event.sealedAt });
        break;
      case 'seal.verified':
        // A sample proves nothing about the rest.
        if (event.mode !== 'sampled') this.#set(event.sealId, { lastVerifiedAt: beganAt(event) });
        break;
      case 'scrub.finished':
        if (event.ok) this.#set(event.sealId, { lastVerifiedAt: beganAt(event), lastScrubbedAt: event.at });
        break;
      case 'shard.quarantined':
        this.#set(event.sealId, { quarantined: true });
        break;
      case 'damage.located':
        this.#set(event.sealId, { damaged: event.damaged.slice(0, MOST_RANGES).map(blockRange) });
        break;
      case 'shard.healed':
        this.#set(event.sealId, { quarantined: false, damaged: [], lastVerifiedAt: beganAt(event) });
        break;
      default:
        break;
    }
    this.#follower(event);
  }

  #set(sealId: string, change: Partial<ShardHealth>): void {
    this.#health.set(sealId, { ...this.of(sealId), ...change });
  }
}

function blockRange({ byteOffset, blocks }: DamagedRange): BlockRange {
  return { firstBlock: Math.floor(byteOffset / BLOCK_BYTES), blocks };
}

/** A verification covers the bytes as they were when it began to read them. */
function beganAt({ at, durationMs }: OperationEvent): string {
  return new Date(Date.parse(at) - (durationMs ?? 0)).toISOString();
}
