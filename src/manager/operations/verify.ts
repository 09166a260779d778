import {
  checkOneOf,
  checkOptions,
  isVramError,
  type VerificationReport,
  VramError,
} from '../../base/index.js';
import { type Operation, runOperation, withAuditFailure } from '../../events/index.js';
import { checkSource } from '../../source/index.js';
import {
  type CheckedVerifyOptions,
  checkSampleSize,
  inQuarantine,
  inspect,
  VERIFY_KEYS,
  type VerifyOptions,
} from '../integrity/index.js';
import { type Core, type LiveShard, requireLive, terminationReason } from '../state/index.js';
import { declareDamaged } from './damage.js';
import { emitHandleRejected, resolveHandle } from './resolve.js';
import { emitVerificationFailed, NO_DAMAGE } from './verification-failed.js';

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
        await requireStillLive(core, operation, live);
        return await verifyLive(core, operation, live, { ...options, mode });
      });
    } catch (error) {
      throw terminationReason(core, options.signal, error);
    }
  });
}

/** The state may have changed while waiting for the lock. */
async function requireStillLive(core: Core, operation: Operation, live: LiveShard): Promise<void> {
  try {
    core.lifecycle.requireDevice();
    requireLive(live);
  } catch (error) {
    throw await emitHandleRejected(operation, live.sealed.sealId, error);
  }
}

/**
 * The verification itself; the caller holds the shard's lock.
 * Errors: INTEGRITY_VIOLATION with the report, after which the shard is in quarantine; DEVICE_UNAVAILABLE with the report
 * for a mismatch that did not repeat; AUDIT_FAILED with the report if a clean result could not be recorded.
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
  const { verdict, ...seen } = await freshness.during(() => inspect(core, operation, live, options));
  if (verdict === 'equal') {
    if (options.mode === 'sampled') return await samplePassed(operation, live, report(seen));
    const result = await passed(operation, report({ ...seen, verified: true }));
    freshness.passed(started);
    return result;
  }
  if (verdict === 'transient') throw await unrepeated(operation, report({ ...seen, transient: true }));
  throw await declareDamaged(core, operation, live, options, (found) => report({ ...seen, ...found }));
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

/** A sample proves nothing about the rest: it neither lifts a quarantine nor counts for maxAgeMs. */
async function samplePassed(
  operation: Operation,
  live: LiveShard,
  report: VerificationReport,
): Promise<VerificationReport> {
  if (live.condition === 'sound') {
    await passed(operation, report);
    // Another verification may have found damage while this one was recorded.
    if (live.condition === 'sound') return report;
  }
  requireLive(live);
  const error = new VramError(
    'INTEGRITY_VIOLATION',
    `${inQuarantine(live).message}; a sample cannot lift it`,
    { report },
  );
  throw withAuditFailure(error, await emitVerificationFailed(operation, error, report, NO_DAMAGE));
}

async function unrepeated(operation: Operation, report: VerificationReport): Promise<VramError> {
  const message =
    'two inspections of the same bytes gave two digests: neither clean nor proof of damage; verify again';
  const error = new VramError('DEVICE_UNAVAILABLE', message, { report });
  return withAuditFailure(error, await emitVerificationFailed(operation, error, report, NO_DAMAGE));
}
