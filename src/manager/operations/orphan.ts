import { VramError } from '../../base/index.js';
import { eventError, type Operation } from '../../events/index.js';
import type { Core, LiveShard, Survivor } from '../state/index.js';

/** Process ids in one message. */
const MAX_PIDS = 16;

/**
 * Abandons memory that other processes still map: it is unmapped here and never overwritten while they use it. Its bytes
 * count as orphaned until all of them are gone. Never rejects; `error` is RELEASE_FAILED with their process ids.
 */
export async function orphan(
  core: Core,
  operation: Operation,
  { region, reservation }: LiveShard,
  survivors: readonly Survivor[],
): Promise<{ readonly error: VramError; readonly auditFailure: VramError | null }> {
  const [unmapped] = await Promise.allSettled([region.abandon()]);
  const error = stillMapped(survivors, reservation.bytes, unmapped);
  reservation.orphan();
  void Promise.all(survivors.map(({ gone }) => gone)).then(() => freed(core, operation, reservation));
  const auditFailure = await operation.emit('vram.deallocated', {
    freedBytes: 0,
    usedBytes: core.ledger.usedBytes,
    availableBytes: core.ledger.availableBytes(null),
    wiped: false,
    error: eventError(error),
  });
  return { error, auditFailure };
}

/** The driver has freed the memory. */
async function freed(core: Core, operation: Operation, reservation: LiveShard['reservation']): Promise<void> {
  reservation.release();
  // A closed manager has closed its observers too.
  if (core.lifecycle.state === 'closed') return;
  await operation.emit('vram.deallocated', {
    freedBytes: reservation.bytes,
    usedBytes: core.ledger.usedBytes,
    availableBytes: core.ledger.availableBytes(null),
    wiped: false,
    error: null,
  });
}

function stillMapped(
  survivors: readonly Survivor[],
  bytes: number,
  unmapped: PromiseSettledResult<void>,
): VramError {
  const pids = survivors.map(({ pid }) => pid ?? 'unknown (another PID namespace)');
  const more = pids.length > MAX_PIDS ? ` and ${pids.length - MAX_PIDS} more` : '';
  const here = unmapped.status === 'fulfilled' ? 'unmapped here' : 'to be unmapped here, which failed';
  return new VramError(
    'RELEASE_FAILED',
    `processes did not release the memory in time: ${pids.slice(0, MAX_PIDS).join(', ')}${more}; it was ${here} and ` +
      `not overwritten, and ` +
      `its ${bytes} bytes count as orphaned until they exit`,
    unmapped.status === 'rejected' ? { cause: unmapped.reason } : {},
  );
}
