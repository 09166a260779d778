import type { VerificationReport, VramError } from '../../base/index.js';
import { type EventPayloads, eventError, type Operation } from '../../events/index.js';

type Place = Pick<EventPayloads['seal.verification_failed'], 'damaged' | 'damagedGroups'>;

/** No damage was found: the verification failed for another reason. */
export const NO_DAMAGE: Place = { damaged: [], damagedGroups: 0 };
/** There is damage, which `damage.located` names later. */
export const PLACE_UNKNOWN: Place = { damaged: null, damagedGroups: null };

/** Resolves to the failure of a required observer, or null. */
export async function emitVerificationFailed(
  operation: Operation,
  error: VramError,
  { sealId, mode, expected, actual, transient, durationMs }: VerificationReport,
  place: Place,
): Promise<VramError | null> {
  return await operation.emit(
    'seal.verification_failed',
    {
      sealId,
      mode,
      error: eventError(error),
      expectedDigest: expected,
      actualDigest: actual,
      transient,
      ...place,
    },
    durationMs,
  );
}
