import {
  checkOneOf,
  checkOptions,
  isVramError,
  type VerificationReport,
  VramError,
} from '../../base/index.js';
import { eventError, type Operation, runOperation, withAuditFailure } from '../../events/index.js';
import { checkSource } from '../../source/index.js';
import {
  type CheckedVerifyOptions,
  checkSampleSize,
  describeTensors,
  inQuarantine,
  type Localisation,
  localise,
  look,
  quarantine,
  refine,
  tellQuarantine,
  VERIFY_KEYS,
  type VerifyOptions,
} from '../integrity/index.js';
import { type Core, deviceEnd, endedBy, type LiveShard, readerOf, requireLive } from '../state/index.js';
import { resolveHandle, tellRejected } from './resolve.js';

/** Hashes a shard where it lies and compares with its seal. See VramManager.verify. */
export async function verifyShard(
  core: Core,
  handle: unknown,
  options: VerifyOptions,
): Promise<VerificationReport> {
  return await runOperation(core.events, 'verify', options, async (operation) => {
    checkOptions('options', options, VERIFY_KEYS);
    const mode = checkOneOf('mode', options.mode ?? 'resident', ['resident', 'readback', 'sampled']);
    checkSampleSize({ ...options, mode });
    if (options.source !== undefined) checkSource(options.source);
    const live = await resolveHandle(core, operation, handle);
    try {
      return await live.lock.with('verify', options.signal, async () => {
        await stillThere(core, operation, live);
        return await verifyLive(core, operation, live, { ...options, mode });
      });
    } catch (error) {
      throw endedBy(core, options.signal, error);
    }
  });
}

/** What may have changed while the lock was waited for. */
async function stillThere(core: Core, operation: Operation, live: LiveShard): Promise<void> {
  try {
    core.lifecycle.requireDevice();
    requireLive(live);
  } catch (error) {
    throw await tellRejected(operation, live.sealed.sealId, error);
  }
}

/**
 * The verification itself; the caller holds the shard's lock.
 * Errors: INTEGRITY_VIOLATION with the report, after which the shard is in quarantine; DEVICE_UNAVAILABLE with the report
 * for a mismatch that did not
 * repeat; AUDIT_FAILED with the report if a clean result could not be recorded.
 */
export async function verifyLive(
  core: Core,
  operation: Operation,
  live: LiveShard,
  options: CheckedVerifyOptions,
): Promise<VerificationReport> {
  const { sealed, freshness } = live;
  const started = freshness.begin(core.clock);
  const report = (found: Partial<VerificationReport>): VerificationReport =>
    Object.freeze({
      verified: false,
      shardId: sealed.shardId,
      sealId: sealed.sealId,
      mode: options.mode,
      byteLength: sealed.byteLength,
      expected: sealed.fsverity,
      actual: null,
      sampled: options.mode === 'sampled',
      sample: null,
      transient: false,
      damaged: [],
      damagedGroups: 0,
      exact: true,
      startedAt: started.startedAt,
      durationMs: core.clock.monotonic() - started.monotonicMs,
      ...found,
    });
  const { verdict, ...seen } = await freshness.during(() => look(core, operation, live, options));
  if (verdict === 'equal') {
    if (options.mode === 'sampled') return await samplePassed(operation, live, report(seen));
    const result = await passed(operation, report({ ...seen, verified: true }));
    freshness.passed(started);
    return result;
  }
  if (verdict === 'transient') throw await unrepeated(operation, report({ ...seen, transient: true }));
  throw await damaged(core, operation, live, options, (found) => report({ ...seen, ...found }));
}

/** Errors: AUDIT_FAILED with the report if it could not be recorded. */
async function passed(operation: Operation, report: VerificationReport): Promise<VerificationReport> {
  const { sealId, mode, byteLength, expected: fsverity } = report;
  try {
    await operation.record('seal.verified', { sealId, mode, byteLength, fsverity }, report.durationMs);
    return report;
  } catch (error) {
    if (!isVramError(error)) throw error;
    throw new VramError(error.code, error.message, { cause: error.cause, report });
  }
}

/** A sample proves nothing about the rest: it clears no quarantine, and makes nothing fresh. */
async function samplePassed(
  operation: Operation,
  live: LiveShard,
  report: VerificationReport,
): Promise<VerificationReport> {
  if (live.condition === 'sound') {
    await passed(operation, report);
    // Another verification may have found damage while this one was put on record.
    if (live.condition === 'sound') return report;
  }
  requireLive(live);
  const error = new VramError(
    'INTEGRITY_VIOLATION',
    `${inQuarantine(live).message}; a sample of them cannot say that they are sound`,
    { report },
  );
  throw withAuditFailure(error, await tellFailed(operation, error, report));
}

async function unrepeated(operation: Operation, report: VerificationReport): Promise<VramError> {
  const message =
    'two looks at the same bytes gave two digests: neither clean nor proof of damage; verify again';
  const error = new VramError('DEVICE_UNAVAILABLE', message, { report });
  return withAuditFailure(error, await tellFailed(operation, error, report));
}

async function damaged(
  core: Core,
  operation: Operation,
  live: LiveShard,
  options: VerifyOptions,
  report: (found: Partial<VerificationReport>) => VerificationReport,
): Promise<VramError> {
  // At once: whatever follows may take long or fail.
  const state = quarantine(core, live);
  const inPlace = await tryLocalise(core, live, options.signal);
  const recorded = damageError(inPlace, report);
  const failedUnheard = await tellFailed(operation, recorded.error, recorded.report);
  const quarantineUnheard = await tellQuarantine(operation, live, state);
  // On record before anything is read from a source: that may take long, or never end.
  const { error } = damageError(await tryRefine(core, live, inPlace, options), report);
  return withAuditFailure(error, failedUnheard ?? quarantineUnheard);
}

/** Where the damage is, as far as that is known. */
interface Place {
  readonly found: Localisation | null;
  /** Why no more is known; null if nothing failed. */
  readonly failure: unknown;
}

function damageError(
  { found, failure }: Place,
  report: (found: Partial<VerificationReport>) => VerificationReport,
): { readonly error: VramError; readonly report: VerificationReport } {
  const result = report(
    found === null
      ? { exact: false }
      : { damaged: found.damaged, damagedGroups: found.groups.length, exact: found.exact },
  );
  const message = `the resident bytes of shard "${result.shardId}" are damaged: ${describeDamage(found)}`;
  const cause = failure ?? undefined;
  return {
    error: new VramError('INTEGRITY_VIOLATION', message, { report: result, cause }),
    report: result,
  };
}

/** The verdict stands whether or not the place can be found. */
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

function describeDamage(found: Localisation | null): string {
  if (found === null || found.groups.length === 0) return 'the place could not be found';
  const where = describeTensors(found.damaged);
  const remedy = 'heal it from its source or release it';
  if (!found.exact) return `${found.groups.length} groups of 512 KiB${where}; ${remedy}`;
  const blocks = found.damaged.reduce((sum, range) => sum + range.blocks, 0);
  return `${blocks} blocks of 4096 bytes${where}; ${remedy}`;
}

async function tellFailed(
  operation: Operation,
  error: VramError,
  report: VerificationReport,
): Promise<VramError | null> {
  return await operation.tell(
    'seal.verification_failed',
    {
      sealId: report.sealId,
      mode: report.mode,
      error: eventError(error),
      expectedDigest: report.expected,
      actualDigest: report.actual,
      transient: report.transient,
      damaged: report.damaged,
      damagedGroups: report.damagedGroups,
    },
    report.durationMs,
  );
}
