import type { VramError } from '../../base/index.js';
import type { Region } from '../../device/index.js';
import { eventError, type Operation, withAuditFailure } from '../../events/index.js';
import { decide, policyViolation } from '../../policy/index.js';
import type { Core, Reservation } from '../state/index.js';

export interface Allocation {
  readonly region: Region;
  readonly reservation: Reservation;
}

/**
 * The new region, the duration on the monotonic clock, and the free bytes left, computed from the device's figure just
 * before.
 */
export interface TimedAllocation extends Allocation {
  readonly durationMs: number;
  readonly availableBytes: number | null;
}

/** The requested memory of a shard. */
export interface MemoryRequest {
  readonly byteLength: number;
  /** Where its buffers begin; null for one sequence of bytes. */
  readonly cuts: readonly number[] | null;
  /** Whether other processes can map it. */
  readonly share: boolean;
}

/**
 * Allocates device memory for a shard. Reading the free memory, reserving and allocating are one atomic step (RP-001).
 * Errors: INVALID_INPUT where the device cannot share, POLICY_VIOLATION, INSUFFICIENT_VRAM, ALLOCATION_FAILED, DEVICE_LOST,
 * AUDIT_FAILED.
 */
export async function allocate(
  core: Core,
  operation: Operation,
  { byteLength, cuts, share }: MemoryRequest,
): Promise<TimedAllocation> {
  await requirePolicy(core, operation);
  const requestedBytes = core.device.allocationBytes(byteLength);
  const started = core.clock.monotonic();
  let freeBytes: number | null = null;
  try {
    return await core.admission.run(async () => {
      core.lifecycle.requireServing();
      freeBytes = (await core.device.capacity()).freeBytes;
      const reservation = core.ledger.reserve(requestedBytes, freeBytes);
      try {
        const maxPooledBytes = core.ledger.spareBytes;
        const region = await core.device.allocate(byteLength, {
          ...(maxPooledBytes === null ? {} : { maxPooledBytes }),
          ...(cuts === null ? {} : { cuts }),
          ...(share ? { share } : {}),
        });
        const left = freeBytes === null ? null : Math.max(0, freeBytes - region.allocatedBytes);
        return {
          region,
          reservation,
          durationMs: core.clock.monotonic() - started,
          availableBytes: core.ledger.availableBytes(left),
        };
      } catch (error) {
        reservation.release();
        throw error;
      }
    });
  } catch (error) {
    const auditFailure = await operation.emit(
      'vram.allocation_failed',
      {
        requestedBytes,
        usedBytes: core.ledger.usedBytes,
        availableBytes: core.ledger.availableBytes(freeBytes),
        error: eventError(error),
      },
      core.clock.monotonic() - started,
    );
    throw withAuditFailure(error, auditFailure);
  }
}

/** Overwrites and frees a region in any case. Resolves to the failure, if any; never rejects (MS-004). */
export async function releaseAllocation(
  core: Core,
  operation: Operation,
  { region, reservation }: Allocation,
): Promise<{ readonly error: unknown; readonly auditFailure: VramError | null }> {
  const started = core.clock.monotonic();
  let error: unknown = null;
  try {
    await region.release();
  } catch (caught) {
    error = caught;
  }
  reservation.release();
  const auditFailure = await operation.emit(
    'vram.deallocated',
    {
      freedBytes: reservation.bytes,
      usedBytes: core.ledger.usedBytes,
      availableBytes: core.ledger.availableBytes(null),
      wiped: error === null,
      error: error === null ? null : eventError(error),
    },
    core.clock.monotonic() - started,
  );
  return { error, auditFailure };
}

/** VP-007: checked again at every allocation. */
async function requirePolicy(core: Core, operation: Operation): Promise<void> {
  const decision = decide(core.policy, core.residency, core.device.info.facts, core);
  if (decision.accepted) return;
  const auditFailure = await operation.emit(
    'policy.violation',
    { policy: core.policy, residency: core.residency, violation: decision.why, action: 'refused' },
    operation.elapsedMs,
  );
  throw withAuditFailure(policyViolation(decision), auditFailure);
}
