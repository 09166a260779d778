import { isVramError } from '../../base/index.js';
import { eventError, type Operation, withAuditFailure } from '../../events/index.js';
import { verifySignature } from '../../seal/index.js';
import type { Core, LiveShard } from '../state/index.js';

/**
 * Resolves a handle to its live shard: form, signature, table. A rejected handle is reported and changes nothing
 * (docs/architecture.md).
 * Errors: INVALID_INPUT, NOT_SEALED, SEAL_VERIFICATION_FAILED, NOT_FOUND.
 */
export async function resolveHandle(core: Core, operation: Operation, handle: unknown): Promise<LiveShard> {
  let sealId: string | null = null;
  try {
    sealId = await verifySignature(core.key, handle);
    const live = core.shards.get(sealId);
    operation.about(live.sealed);
    return live;
  } catch (error) {
    throw await emitHandleRejected(operation, sealId, error);
  }
}

/** Reports a rejected handle. Returns the error to throw: the verdict, with an audit failure as its cause (AU-005). */
export async function emitHandleRejected(
  operation: Operation,
  sealId: string | null,
  error: unknown,
): Promise<unknown> {
  if (!isVramError(error) || error.code === 'INVALID_INPUT') return error;
  const auditFailure = await operation.emit(
    'seal.verification_failed',
    {
      sealId,
      mode: 'resident',
      error: eventError(error),
      expectedDigest: null,
      actualDigest: null,
      transient: false,
      damaged: [],
      damagedGroups: 0,
    },
    operation.elapsedMs,
  );
  return withAuditFailure(error, auditFailure);
}
