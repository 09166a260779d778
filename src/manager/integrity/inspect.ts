import { checkInteger, invalidInput, type SampleReport, type VerifyMode } from '../../base/index.js';
import type { Operation } from '../../events/index.js';
import type { Core, LiveShard } from '../state/index.js';
import { measure, residentDigest, type Verdict } from './device-tree.js';
import { readbackDigest } from './readback.js';
import { requireGroupsGenuine } from './retained-hashes.js';
import { describeSample, drawGroups, groupLevel, groupsMatch } from './sample.js';
import type { VerifyOptions } from './verify-options.js';

export type CheckedVerifyOptions = VerifyOptions & { readonly mode: VerifyMode };

/** The result of inspecting a shard in device memory. */
export interface Inspection {
  readonly verdict: Verdict;
  /** null where only a sample was hashed. */
  readonly actual: string | null;
  readonly sample: SampleReport | null;
}

/** Inspects the resident bytes as the mode says; twice if the first inspection finds a difference. */
export async function inspect(
  core: Core,
  operation: Operation,
  live: LiveShard,
  options: CheckedVerifyOptions,
): Promise<Inspection> {
  const { mode, onProgress } = options;
  const { byteLength, fsverity } = live.sealed;
  const doubt = (): void => live.freshness.doubt();
  if (mode === 'readback') {
    const seen = await operation.stage('readback', byteLength, () =>
      measure(fsverity, () => readbackDigest(core, live.region, options), doubt),
    );
    return { ...seen, sample: null };
  }
  const seen = await operation.stage('device-tree', mode === 'resident' ? byteLength : null, async () =>
    mode === 'resident'
      ? {
          ...(await measure(fsverity, () => residentDigest(core, live.region, options), doubt)),
          sample: null,
        }
      : await inspectSample(core, live, options),
  );
  if (mode === 'sampled') onProgress?.({ phase: 'verify', bytes: byteLength, totalBytes: byteLength });
  return seen;
}

/** Errors: INVALID_INPUT. */
export function checkSampleSize({ mode, groups }: CheckedVerifyOptions): void {
  if (mode === 'sampled') checkInteger('groups', groups, 1);
  else if (groups !== undefined) throw invalidInput('groups', 'requires mode "sampled"');
}

async function inspectSample(
  core: Core,
  live: LiveShard,
  { groups = 1, signal }: VerifyOptions,
): Promise<Inspection> {
  const { groups: total } = groupLevel(live.sealed.byteLength);
  const drawn = drawGroups(core.crypto, Math.min(groups, total), total);
  const sample = describeSample(drawn.length, total);
  await requireGroupsGenuine(core, live);
  const same = (): Promise<boolean> => groupsMatch(live, drawn, signal);
  if (await same()) return { verdict: 'equal', actual: null, sample };
  live.freshness.doubt();
  return { verdict: (await same()) ? 'transient' : 'different', actual: null, sample };
}
