import { counted, type VerificationReport, VramError } from '../../base/index.js';
import { eventError, type Operation, withAuditFailure } from '../../events/index.js';
import {
  describeTensors,
  emitQuarantine,
  type Localisation,
  localise,
  quarantine,
  refine,
  type VerifyOptions,
} from '../integrity/index.js';
import { type Core, deviceEnd, type LiveShard, readerOf } from '../state/index.js';
import { emitVerificationFailed, PLACE_UNKNOWN } from './verification-failed.js';

type MakeReport = (found: Partial<VerificationReport>) => VerificationReport;

/** Where the damage is, as far as that is known. */
interface Place {
  readonly found: Localisation | null;
  /** Why it is incomplete; null if nothing failed. */
  readonly failure: unknown;
}

/**
 * Handles resident bytes that differ from their seal. The quarantine takes effect at once, and verdict and quarantine are
 * recorded before anything reads the device or a source again: a read may take long, fail, or never end. The location
 * follows. Returns the error to throw: INTEGRITY_VIOLATION with the report.
 */
export async function declareDamaged(
  core: Core,
  operation: Operation,
  live: LiveShard,
  options: VerifyOptions,
  makeReport: MakeReport,
): Promise<VramError> {
  const state = quarantine(core, live);
  const verdict = makeReport({ exact: false });
  const verdictFailure = await emitVerificationFailed(
    operation,
    verdictError(verdict),
    verdict,
    PLACE_UNKNOWN,
  );
  const quarantineFailure = await emitQuarantine(operation, live, state);
  const inPlace = await tryLocalise(core, live, options.signal);
  const placeFailure = await emitPlace(operation, live, inPlace);
  const place = await tryRefine(core, live, inPlace, options);
  return withAuditFailure(
    placedError(place, makeReport),
    verdictFailure ?? quarantineFailure ?? placeFailure,
  );
}

function verdictError({ shardId }: VerificationReport): VramError {
  const message = `the resident bytes of shard "${shardId}" are damaged; heal it from its source or release it`;
  return new VramError('INTEGRITY_VIOLATION', message);
}

function placedError({ found, failure }: Place, makeReport: MakeReport): VramError {
  const report = makeReport(
    found === null
      ? { exact: false }
      : { damaged: found.damaged, damagedGroups: found.groups.length, exact: found.exact },
  );
  const message = `the resident bytes of shard "${report.shardId}" are damaged: ${describeDamage(found)}`;
  return new VramError('INTEGRITY_VIOLATION', message, { report, cause: failure ?? undefined });
}

function describeDamage(found: Localisation | null): string {
  if (found === null || found.groups.length === 0) return 'the place could not be found';
  const where = describeTensors(found.damaged);
  const remedy = 'heal it from its source or release it';
  if (!found.exact) return `${counted(found.groups.length, 'group')} of 512 KiB${where}; ${remedy}`;
  const blocks = found.damaged.reduce((sum, range) => sum + range.blocks, 0);
  return `${counted(blocks, 'block')} of 4096 bytes${where}; ${remedy}`;
}

/** The verdict stands whether or not the damage can be located. */
async function tryLocalise(core: Core, live: LiveShard, signal: AbortSignal | undefined): Promise<Place> {
  try {
    return { found: await localise(core, live, signal), failure: null };
  } catch (error) {
    return { found: null, failure: error };
  }
}

async function tryRefine(
  core: Core,
  live: LiveShard,
  place: Place,
  { source, signal }: VerifyOptions,
): Promise<Place> {
  if (source === undefined || place.found === null) return place;
  const reader = readerOf(core, source, [signal, deviceEnd(core), live.releasing.signal]);
  return await refine(core, live, place.found, reader, signal);
}

async function emitPlace(
  operation: Operation,
  live: LiveShard,
  { found, failure }: Place,
): Promise<VramError | null> {
  return await operation.emit('damage.located', {
    sealId: live.sealed.sealId,
    damaged: found?.damaged ?? [],
    damagedGroups: found?.groups.length ?? 0,
    exact: found?.exact ?? false,
    error: failure === null ? null : eventError(failure),
  });
}
