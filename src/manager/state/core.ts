import type { AuditHeadProvider } from '../../attest/index.js';
import { type Clock, isVramError, type Serial } from '../../base/index.js';
import type { CryptoProvider, Mac, Signer } from '../../crypto/index.js';
import type { Device, SkippedDevice } from '../../device/index.js';
import type { DigestEngine } from '../../digest/index.js';
import type { EventSource } from '../../events/index.js';
import type { Policy, Residency } from '../../policy/index.js';
import type { Ledger } from './ledger.js';
import type { Lifecycle } from './lifecycle.js';
import type { ShardTable } from './shard-table.js';

export type FailureReaction = 'quarantine' | 'stop';
/** Level-1 nodes alone (at most 0.007 % of a shard, in host memory), or all leaves as well (0.8 %). */
export type KeptLevel = 'groups' | 'leaves';

/** What the operations of one manager share. Stays inside: it reaches the key and the regions. */
export interface Core {
  readonly workerId: string;
  readonly policy: Policy;
  readonly allowReplacedKernels: boolean;
  readonly residency: Residency;
  readonly device: Device;
  /** What `auto` did not take, and why. */
  readonly passedOver: readonly SkippedDevice[];
  readonly deviceOwned: boolean;
  readonly crypto: CryptoProvider;
  readonly engine: DigestEngine;
  readonly engineOwned: boolean;
  readonly clock: Clock;
  readonly key: Mac;
  readonly keyKind: 'token' | 'ephemeral';
  readonly fingerprint: string;
  readonly events: EventSource;
  readonly ledger: Ledger;
  /** Holds the device's free memory still while it is read and taken. */
  readonly admission: Serial;
  readonly shards: ShardTable;
  readonly lifecycle: Lifecycle;
  readonly maxShardBytes: number;
  readonly keep: KeptLevel;
  readonly onVerificationFailure: FailureReaction;
  readonly drills: boolean;
  readonly attestationKey: Signer | null;
  readonly auditHead: AuditHeadProvider | null;
}

/** The error an operation ends with: work that ended because the manager did says so, not that the caller aborted it. */
export function endedBy(core: Core, signal: AbortSignal | undefined, error: unknown): unknown {
  return isVramError(error, 'ABORTED') && signal?.aborted !== true ? (core.lifecycle.end ?? error) : error;
}
