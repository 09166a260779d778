import { checkOptions, VramError } from '../../base/index.js';
import { type Operation, runOperation, TRACE_KEYS, type TraceOptions } from '../../events/index.js';
import { verifySignature } from '../../seal/index.js';
import { type Core, type LiveShard, notFound, revokeLeases } from '../state/index.js';
import { releaseAllocation } from './allocate.js';
import { orphan } from './orphan.js';
import { emitHandleRejected } from './resolve.js';

/** What a release did. */
export interface ReleaseReport {
  /** False if it had been released before. */
  readonly released: boolean;
  readonly freedBytes: number;
  /** Whether the memory was overwritten with zeros first; not possible on a lost device. */
  readonly wiped: boolean;
  /** False if a required observer could not record it; see ManagerStatus.unrecordedReleases. */
  readonly recorded: boolean;
}

/** Wipes and frees a shard's memory. See VramManager.release. */
export async function releaseShard(
  core: Core,
  handle: unknown,
  options: TraceOptions,
): Promise<ReleaseReport> {
  return await runOperation(core.events, 'release', options, async (operation) => {
    checkOptions('options', options, TRACE_KEYS);
    const live = await find(core, operation, handle);
    // Another release may have begun while this one resolved the handle.
    if (live === null || live.condition === 'releasing') {
      return { released: false, freedBytes: 0, wiped: false, recorded: true };
    }
    const { error, auditFailure, orphaned } = await releaseLive(core, operation, live);
    if (orphaned) throw error;
    // The memory of a lost device is out of reach.
    if (error !== null && core.lifecycle.state !== 'lost') {
      throw new VramError(
        'RELEASE_FAILED',
        'the memory was freed, but perhaps not overwritten first; take the device out of use',
        { cause: error },
      );
    }
    return {
      released: true,
      freedBytes: live.reservation.bytes,
      wiped: error === null,
      recorded: auditFailure === null,
    };
  });
}

/** How a release ended; null where nothing went wrong. */
interface Released {
  readonly error: unknown;
  readonly auditFailure: VramError | null;
  /** Other processes still map the memory: it was not overwritten. */
  readonly orphaned: boolean;
}

/** Takes a shard out of use for good, waits for its users, and frees its memory. Never rejects. */
export async function releaseLive(core: Core, operation: Operation, live: LiveShard): Promise<Released> {
  live.condition = 'releasing';
  operation.about(live.sealed);
  revokeLeases(live.leases, notFound());
  // A heal may wait for its source.
  live.releasing.abort(notFound());
  // One of them may be awaited inside a lease that this waits for.
  revokeLeases(live.pending, notFound());
  live.holders.revoke('released');
  // Before the lock: waiters for the lock, such as a scrubber, would wait for these processes too.
  const survivors = core.lifecycle.state === 'lost' ? [] : await live.holders.leave();
  const released = await live.lock.with('exclusive', undefined, async (): Promise<Released> => {
    if (survivors.length > 0) return { ...(await orphan(core, operation, live, survivors)), orphaned: true };
    return { ...(await releaseAllocation(core, operation, live)), orphaned: false };
  });
  core.shards.remove(live);
  return released;
}

/** null for a shard of this manager that was released before, or is being released. */
async function find(core: Core, operation: Operation, handle: unknown): Promise<LiveShard | null> {
  let sealId: string | null = null;
  try {
    sealId = await verifySignature(core.key, handle);
    if (core.shards.wasReleased(sealId)) return null;
    return core.shards.get(sealId);
  } catch (error) {
    throw await emitHandleRejected(operation, sealId, error);
  }
}
