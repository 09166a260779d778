import {
  checkOptions,
  invalidInput,
  type OptionKeys,
  throwIfAborted,
  type VerificationReport,
  type VramError,
} from '../../base/index.js';
import {
  eventError,
  type Operation,
  runOperation,
  TRACE_KEYS,
  type TraceOptions,
} from '../../events/index.js';
import { type Core, type LiveShard, terminationReason, withSignals } from '../state/index.js';
import { checkTensor, type Lease, openLease, type TensorRange } from './lease.js';
import { resolveHandle } from './resolve.js';
import { checkMaxAge, isFresh, requireUsable } from './usable.js';
import { verifyLive } from './verify.js';

export interface ExecuteOptions extends TraceOptions {
  /**
   * Accept a good whole-region verification that began at most this many milliseconds ago, by the clock that shows more:
   * the monotonic one may stop while a machine is suspended. Any later inspection that did not pass invalidates it.
   * Without this option every execution is preceded by its own verification (CI-007).
   */
  readonly maxAgeMs?: number | undefined;
  /** Verify once more before the result is returned. */
  readonly recheck?: boolean | undefined;
  /** Lend only this tensor. */
  readonly tensor?: TensorRange | undefined;
  readonly signal?: AbortSignal | undefined;
}

// Does not compile unless it lists exactly the options of the interface.
export const EXECUTE_KEYS = {
  ...TRACE_KEYS,
  maxAgeMs: true,
  recheck: true,
  tensor: true,
  signal: true,
} satisfies OptionKeys<ExecuteOptions>;

/** Work on the weights, inside a lease. */
export type Execution<T> = (lease: Lease) => T | Promise<T>;

/** Verifies and lends a shard. See VramManager.execute. */
export async function executeShard<T>(
  core: Core,
  handle: unknown,
  run: Execution<T>,
  options: ExecuteOptions,
): Promise<T> {
  return await runOperation(core.events, 'execute', options, async (operation) => {
    const started = core.clock.monotonic();
    checkOptions('options', options, EXECUTE_KEYS);
    core.lifecycle.requireServing();
    checkCall(run, options);
    const live = await resolveHandle(core, operation, handle);
    if (options.tensor !== undefined) checkTensor(options.tensor, live.sealed.byteLength);
    const timing: { verifiedMs: number | null } = { verifiedMs: null };
    const emitEnd = (error: unknown): Promise<VramError | null> =>
      operation.emit(
        'execution.finished',
        {
          sealId: live.sealed.sealId,
          ok: error === null,
          verifiedMs: timing.verifiedMs,
          error: error === null ? null : eventError(error),
        },
        core.clock.monotonic() - started,
      );
    let result: T;
    try {
      result = await admitted(core, live, options.signal, () =>
        leased(core, operation, live, run, options, timing),
      );
    } catch (error) {
      const ending = terminationReason(core, options.signal, error);
      await emitEnd(ending);
      throw ending;
    }
    const auditFailure = await emitEnd(null);
    if (auditFailure !== null) throw auditFailure;
    return result;
  });
}

function checkCall<T>(run: Execution<T>, { maxAgeMs, recheck }: ExecuteOptions): void {
  if (typeof run !== 'function') throw invalidInput('run', 'must be a function that takes a lease');
  checkMaxAge(maxAgeMs);
  if (recheck !== undefined && typeof recheck !== 'boolean')
    throw invalidInput('recheck', 'must be true or false');
}

/**
 * Runs `work` once the shard can be leased. A release or a quarantine refuses it while it waits, so that a deadlock with
 * a running lease is impossible.
 */
async function admitted<T>(
  core: Core,
  live: LiveShard,
  caller: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  requireUsable(core, live);
  const refused = new AbortController();
  let waiting = true;
  live.pending.add(refused);
  try {
    return await withSignals([caller, core.lifecycle, refused.signal], (signal) =>
      live.lock.with('lease', signal, () => {
        waiting = false;
        live.pending.delete(refused);
        return work();
      }),
    );
  } catch (error) {
    throw waiting && refused.signal.aborted && caller?.aborted !== true ? refused.signal.reason : error;
  } finally {
    live.pending.delete(refused);
  }
}

/** The caller holds the shard's lock for a lease. */
async function leased<T>(
  core: Core,
  operation: Operation,
  live: LiveShard,
  run: Execution<T>,
  options: ExecuteOptions,
  timing: { verifiedMs: number | null },
): Promise<T> {
  const verification = { mode: 'resident', signal: options.signal } as const;
  requireUsable(core, live);
  let report: VerificationReport | null = null;
  if (!isFresh(core, live, options.maxAgeMs)) {
    report = await verifyLive(core, operation, live, verification);
    timing.verifiedMs = report.durationMs;
  }
  // Another verification may have found damage outside what this one covered.
  requireUsable(core, live);
  throwIfAborted(options.signal);
  const result = await lend(operation, live, run, options, report);
  if (options.recheck === true) {
    await verifyLive(core, operation, live, verification);
    requireUsable(core, live);
  }
  return result;
}

/** Runs the callback over the shard's bytes. A revoked lease yields no result, whatever the callback returned. */
async function lend<T>(
  operation: Operation,
  live: LiveShard,
  run: Execution<T>,
  options: ExecuteOptions,
  report: VerificationReport | null,
): Promise<T> {
  const revoked = new AbortController();
  return await withSignals([options.signal, revoked.signal], async (signal) => {
    const { lease, end } = openLease(live, options.tensor, signal, report);
    live.leases.add(revoked);
    try {
      const result = await operation.stage('run', lease.byteLength, async () => {
        try {
          return await run(lease);
        } finally {
          await end();
        }
      });
      throwIfAborted(options.signal);
      if (revoked.signal.aborted) throw revoked.signal.reason;
      return result;
    } catch (error) {
      // If the shard was damaged, that is the error to report, not what the callback threw.
      throw revoked.signal.aborted ? revoked.signal.reason : error;
    } finally {
      live.leases.delete(revoked);
    }
  });
}
