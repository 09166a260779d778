import type { AbandonedCalls } from '../../base/index.js';
import { deviceId, type SkippedDevice } from '../../device/index.js';
import { acceptedClasses, classify, type Policy, type Residency } from '../../policy/index.js';
import type { Core, LifecycleState } from '../state/index.js';

/** The policy in force and the manager's state (VP-007). */
export interface ManagerStatus {
  readonly state: LifecycleState;
  readonly workerId: string;
  readonly device: string;
  readonly deviceName: string;
  /**
   * Devices that `auto` would have preferred, and others that failed before this one, in order; empty for a device
   * requested by name.
   */
  readonly passedOver: readonly SkippedDevice[];
  readonly residency: Residency;
  /** One sentence: what decided the class. */
  readonly residencyReason: string;
  readonly policy: Policy;
  readonly policyAccepts: readonly Residency[];
  /** `ephemeral`: no token was given, so seals cannot be checked after this process. */
  readonly key: 'token' | 'ephemeral';
  /** Distinguishes tokens; 6 hex digits. */
  readonly keyFingerprint: string;
  readonly liveShards: number;
  /** Bytes of released shards that other processes still map; part of what the budget counts as used. */
  readonly orphanedBytes: number;
  /** Ids of shards that must be healed or released. */
  readonly quarantined: readonly string[];
  /** Releases that a required observer has not recorded yet. */
  readonly unrecordedReleases: number;
  /** Abandoned calls into sources, observers, `auditHead` and `attestationKey`, and how many of these ended later. */
  readonly abandonedCalls: AbandonedCalls;
  /** Sources, observers, device and engine that could not be closed, or not in time. */
  readonly closeFailures: number;
}

export function statusOf(core: Core): ManagerStatus {
  const { info } = core.device;
  const { residency, why } = classify(info.facts);
  const quarantined = core.shards.list().filter((shard) => shard.condition === 'quarantined');
  return Object.freeze({
    state: core.lifecycle.state,
    workerId: core.workerId,
    device: deviceId(info),
    deviceName: info.name,
    passedOver: Object.freeze([...core.passedOver]),
    residency,
    residencyReason: why,
    policy: core.policy,
    policyAccepts: acceptedClasses(core.policy),
    key: core.keyKind,
    keyFingerprint: core.fingerprint,
    liveShards: core.shards.size,
    orphanedBytes: core.ledger.orphanedBytes,
    quarantined: quarantined.map((shard) => shard.sealed.shardId),
    unrecordedReleases: core.events.observers.unreportedReleases,
    abandonedCalls: core.calls.abandoned,
    closeFailures: core.tally.closeFailures,
  });
}
