import { VramError } from '../../base/index.js';
import type { Operation } from '../../events/index.js';
import { type Core, type LiveShard, revokeLeases } from '../state/index.js';

export interface Quarantine {
  readonly leasesRevoked: number;
  /** True if this damage stopped the manager. */
  readonly stopped: boolean;
}

const REASON = 'damaged bytes in device memory';

/** ST-001, ST-002: in force before observers are notified, so that nothing is executed in between. */
export function quarantine(core: Core, live: LiveShard): Quarantine {
  if (live.condition === 'sound') live.condition = 'quarantined';
  live.freshness.doubt();
  const damaged = new VramError(
    'INTEGRITY_VIOLATION',
    'the shard was found damaged while the lease was running',
  );
  const leasesRevoked = revokeLeases(live.leases, damaged);
  revokeLeases(live.pending, inQuarantine(live));
  live.holders.damaged();
  const stopped = core.onVerificationFailure === 'stop' && core.lifecycle.stop(REASON);
  if (stopped) for (const shard of core.shards.list()) revokeLeases(shard.leases, core.lifecycle.end);
  return { leasesRevoked, stopped };
}

/** The error for executing a shard in quarantine. */
export function inQuarantine({ sealed }: LiveShard): VramError {
  return new VramError(
    'INTEGRITY_VIOLATION',
    `shard "${sealed.shardId}" is in quarantine: its resident bytes were found damaged; heal or release it`,
  );
}

/** Reports a quarantine that is in force. Resolves to the failure of a required observer. */
export async function emitQuarantine(
  operation: Operation,
  live: LiveShard,
  { leasesRevoked, stopped }: Quarantine,
): Promise<VramError | null> {
  const auditFailure = await operation.emit('shard.quarantined', {
    sealId: live.sealed.sealId,
    reason: REASON,
    leasesRevoked,
  });
  const stopFailure = stopped ? await operation.emit('manager.stopped', { reason: REASON }) : null;
  return auditFailure ?? stopFailure;
}
