import { checkLabel, checkOptions, type SetReport, throwIfAborted, VramError } from '../../base/index.js';
import { runOperation } from '../../events/index.js';
import { VERIFY_KEYS, type VerifyOptions } from '../integrity/index.js';
import type { Core, LiveShard } from '../state/index.js';
import { MAX_TOGETHER, together } from './together.js';
import { verifyShard } from './verify.js';

/** Verifies every live shard of a model. See VramManager.verifySet. */
export async function verifySet(core: Core, modelRef: string, options: VerifyOptions): Promise<SetReport> {
  return await runOperation(core.events, 'verify', options, async ({ correlationId }) =>
    // Every member is an operation of its own; the correlation id links them.
    verifyMembers(core, modelRef, { ...options, correlationId }),
  );
}

async function verifyMembers(core: Core, modelRef: string, options: VerifyOptions): Promise<SetReport> {
  checkOptions('options', options, VERIFY_KEYS);
  checkLabel('modelRef', modelRef);
  const members = core.shards.list().filter(({ sealed }) => sealed.modelRef === modelRef);
  const shards: SetReport['shards'][number][] = [];
  // Only whole hashes in place share a run. Large members are verified one by one: a verification counts from its start,
  // so one that waited for the device would count as old.
  const limit = (options.mode ?? 'resident') === 'resident' ? MAX_TOGETHER : 1;
  for (const some of together(members, limit)) {
    shards.push(...(await verifyTogether(core, some, options)));
    throwIfAborted(options.signal);
  }
  const totalShards = members.find(({ sealed }) => sealed.totalShards !== null)?.sealed.totalShards ?? null;
  const present = new Set(members.map(({ sealed }) => sealed.shardIndex));
  const missing = Array.from({ length: totalShards ?? 0 }, (_, index) => index).filter(
    (index) => !present.has(index),
  );
  const failed = shards.find(({ error }) => error !== null);
  const whole = members.length > 0 && missing.length === 0;
  const sampled = options.mode === 'sampled';
  const verified = whole && failed === undefined && !sampled;
  const report: SetReport = Object.freeze({ modelRef, verified, sampled, totalShards, missing, shards });
  if (failed?.error != null) {
    throw new VramError(
      failed.error.code,
      `shard "${failed.shardId}" of "${modelRef}": ${failed.error.message}`,
      {
        cause: failed.error,
        report,
      },
    );
  }
  if (!whole) {
    const what =
      members.length === 0
        ? 'no shard of it is live'
        : `shards ${missing.join(', ')} of ${totalShards} are missing`;
    throw new VramError('NOT_FOUND', `the set "${modelRef}" is incomplete: ${what}`, { report });
  }
  return report;
}

/** In the order of the members. Waits for all even when one fails. */
async function verifyTogether(
  core: Core,
  members: readonly LiveShard[],
  options: VerifyOptions,
): Promise<readonly SetReport['shards'][number][]> {
  const outcomes = await Promise.allSettled(members.map((live) => verifyMember(core, live, options)));
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
}

/** Verifies the other members even if one fails. */
async function verifyMember(
  core: Core,
  { sealed }: LiveShard,
  options: VerifyOptions,
): Promise<SetReport['shards'][number]> {
  const { shardId, shardIndex } = sealed;
  try {
    return { shardId, shardIndex, report: await verifyShard(core, sealed, options), error: null };
  } catch (error) {
    if (!(error instanceof VramError) || error.code === 'ABORTED') throw error;
    return { shardId, shardIndex, report: null, error };
  }
}
