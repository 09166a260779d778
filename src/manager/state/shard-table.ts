import { invalidInput, VramError } from '../../base/index.js';
import type { Region } from '../../device/index.js';
import type { SealedShard } from '../../seal/index.js';
import type { Source, SourceCallOptions } from '../../source/index.js';
import type { Freshness } from './freshness.js';
import type { Holders } from './holders.js';
import type { Reservation } from './ledger.js';
import type { ShardLock } from './shard-lock.js';

/** sound -> quarantined by damaged bytes, back by healing; any -> releasing, for good. */
export type ShardCondition = 'sound' | 'quarantined' | 'releasing';

/** Hashes retained on the host to find out where a shard is damaged. Packed, 32 bytes each. */
export interface RetainedHashes {
  /** Level 1, one for every started 512 KiB; of a shard of one block its only leaf. */
  readonly groups: Uint8Array;
  /** Level 0, if leaves are retained. */
  readonly leaves: Uint8Array | null;
}

/** Opens a shard's source again. The signal fires when the result is no longer needed. */
export type ReopenSource = (options: SourceCallOptions) => Promise<Source>;

/** A shard in device memory and the manager's state of it. */
export interface LiveShard {
  readonly sealed: SealedShard;
  readonly region: Region;
  readonly reservation: Reservation;
  /** Where its buffers begin; null for a sequence of bytes. */
  readonly cuts: readonly number[] | null;
  readonly retained: RetainedHashes;
  readonly lock: ShardLock;
  /** One for every lease that is running. */
  readonly leases: Set<AbortController>;
  /** One for every execution that waits for the shard's lock. */
  readonly pending: Set<AbortController>;
  /** Processes outside that map its memory. */
  readonly holders: Holders;
  /** Fires when the shard is released, so that reads from a source under its lock end. */
  readonly releasing: AbortController;
  condition: ShardCondition;
  /** The latest verifications, for maxAgeMs (CI-007). */
  readonly freshness: Freshness;
  /** When a scrubber last finished with it. RFC 3339. */
  scrubbedAt: string | null;
  /** Opens the source again for healing. */
  readonly reopen: ReopenSource | null;
}

/** A shard's name; unique from the start of sealing until its release. */
export interface ShardName {
  readonly shardId: string;
  readonly modelRef: string | null;
  readonly shardIndex: number | null;
  readonly totalShards: number | null;
}

/** Number of released handles to remember, to distinguish a repeated release from that of an unknown handle. */
const REMEMBERED_RELEASES = 65_536;

/** Live shards by seal id, and the names in use. */
export class ShardTable {
  readonly #live = new Map<string, LiveShard>();
  readonly #names = new Map<string, ShardName>();
  readonly #released = new Set<string>();

  get size(): number {
    return this.#live.size;
  }

  /** In the order of sealing. */
  list(): readonly LiveShard[] {
    return [...this.#live.values()];
  }

  /**
   * Takes a name before anything is allocated. Errors: INVALID_INPUT if it, or its place in a tensor-parallel set, is taken.
   */
  claim(name: ShardName): void {
    if (this.#names.has(name.shardId)) {
      throw invalidInput('shardId', 'is the id of a live shard: release that one first or choose another id');
    }
    for (const other of this.#names.values()) {
      if (name.shardIndex === null || other.modelRef !== name.modelRef || other.shardIndex === null) continue;
      if (other.totalShards !== name.totalShards) {
        throw invalidInput(
          'totalShards',
          `is ${name.totalShards}, but live shards of this model say ${other.totalShards}`,
        );
      }
      if (other.shardIndex === name.shardIndex) {
        throw invalidInput(
          'shardIndex',
          `is ${name.shardIndex}, which is the index of a live shard of this model`,
        );
      }
    }
    this.#names.set(name.shardId, name);
  }

  /** Frees the name of a shard that could not be sealed. */
  unclaim(shardId: string): void {
    this.#names.delete(shardId);
  }

  add(shard: LiveShard): void {
    this.#live.set(shard.sealed.sealId, shard);
  }

  remove(shard: LiveShard): void {
    this.#live.delete(shard.sealed.sealId);
    this.#names.delete(shard.sealed.shardId);
    this.#released.add(shard.sealed.sealId);
    if (this.#released.size > REMEMBERED_RELEASES) {
      for (const oldest of this.#released) {
        this.#released.delete(oldest);
        break;
      }
    }
  }

  /** Errors: NOT_FOUND for a seal of another run, of another manager, or of a shard that was released. */
  get(sealId: string): LiveShard {
    const shard = this.#live.get(sealId);
    if (shard === undefined || shard.condition === 'releasing') throw notFound();
    return shard;
  }

  wasReleased(sealId: string): boolean {
    return this.#released.has(sealId) || this.#live.get(sealId)?.condition === 'releasing';
  }
}

/** The error for a genuine handle without a live shard. */
export function notFound(): VramError {
  return new VramError(
    'NOT_FOUND',
    'the handle is genuine, but its shard is not live here: it was released, or sealed by another run or manager',
  );
}

/** Throws NOT_FOUND if the shard was released while the caller waited for its lock. */
export function requireLive(shard: LiveShard): void {
  if (shard.condition === 'releasing') throw notFound();
}
