import type { VerifiedShard } from '../../api-schema/index.js';
import type { VerificationReport } from '../../base/index.js';
import type { ExecuteOptions, VramManager } from '../../manager/index.js';
import type { SealedShard } from '../../seal/index.js';

/**
 * Verifies shards as execute() does, and leases all of them while `work` runs: none of them is healed or released
 * meanwhile, and damage found meanwhile fires `revoked` and rejects. Errors: those of execute(), those of `work`.
 */
export async function overLeases<T>(
  manager: VramManager,
  [first, ...others]: readonly SealedShard[],
  options: Pick<ExecuteOptions, 'maxAgeMs' | 'recheck' | 'signal'>,
  work: (verified: readonly VerifiedShard[], revoked: AbortSignal) => Promise<T>,
  before: { readonly verified: readonly VerifiedShard[]; readonly signals: readonly AbortSignal[] } = {
    verified: [],
    signals: [],
  },
): Promise<T> {
  if (first === undefined) return await work(before.verified, AbortSignal.any([...before.signals]));
  return await manager.execute(
    first,
    async ({ report, signal }) =>
      await overLeases(manager, others, options, work, {
        verified: [...before.verified, ...verifiedShard(first, report)],
        signals: [...before.signals, signal],
      }),
    options,
  );
}

/** No report if an earlier verification was accepted. */
export function verifiedShard(
  { shardId, fsverity }: SealedShard,
  report: VerificationReport | null,
): VerifiedShard[] {
  if (report === null) return [];
  return [{ shardId, fsverity, durationMs: report.durationMs }];
}
