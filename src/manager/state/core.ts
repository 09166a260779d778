import type { AuditHeadProvider } from '../../attest/index.js';
import {
  type Clock,
  type End,
  type Ending,
  type ForeignCalls,
  isVramError,
  type Serial,
} from '../../base/index.js';
import type { CryptoProvider, Mac, Signer } from '../../crypto/index.js';
import type { Device, SkippedDevice } from '../../device/index.js';
import type { DigestEngine } from '../../digest/index.js';
import type { EventSource } from '../../events/index.js';
import type { Policy, Residency } from '../../policy/index.js';
import { type Source, SourceReader } from '../../source/index.js';
import type { Ledger } from './ledger.js';
import type { Lifecycle } from './lifecycle.js';
import type { LiveShard, ShardTable } from './shard-table.js';

/** After damage: the shard goes into quarantine, or the whole manager stops. */
export type FailureReaction = 'quarantine' | 'stop';
/** Level-1 nodes alone (at most 0.007 % of a shard, in host memory), or all leaves as well (0.8 %). */
export type RetainedLevel = 'groups' | 'leaves';

/** How long foreign code may keep an operation waiting; milliseconds. */
export interface WaitLimits {
  /** A source, without a byte. */
  readonly stallMs: number;
  /** An observer, for one event; the audit log's head. */
  readonly observerMs: number;
  /** The attestation key, for one signature. */
  readonly signerMs: number;
}

/** Counters reported by status(). */
export interface Tally {
  /** Sources, devices, engines and observers that could not be closed. */
  closeFailures: number;
}

/** The state shared by the operations of one manager. Never exposed: it gives access to the key and the regions. */
export interface Core {
  readonly workerId: string;
  readonly policy: Policy;
  readonly allowReplacedKernels: boolean;
  readonly residency: Residency;
  readonly device: Device;
  /** What `auto` passed over, and why. */
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
  /** Every call into code that is not the library's own. */
  readonly calls: ForeignCalls;
  readonly limits: WaitLimits;
  readonly tally: Tally;
  readonly ledger: Ledger;
  /** Serialises reading the free memory and taking some of it. */
  readonly admission: Serial;
  readonly shards: ShardTable;
  readonly lifecycle: Lifecycle;
  readonly maxShardBytes: number;
  readonly keep: RetainedLevel;
  readonly onVerificationFailure: FailureReaction;
  readonly drills: boolean;
  readonly attestationKey: Signer | null;
  readonly auditHead: AuditHeadProvider | null;
}

/**
 * The final error of an operation: work that ended because its shard or the manager did reports that reason, not an abort
 * by the caller.
 */
export function terminationReason(
  core: Core,
  signal: AbortSignal | undefined,
  error: unknown,
  live?: LiveShard,
): unknown {
  if (!isVramError(error, 'ABORTED') || signal?.aborted === true) return error;
  if (live?.releasing.signal.aborted === true) return live.releasing.signal.reason;
  return core.lifecycle.end ?? error;
}

/** Work that a stopped manager still does ends when the device is lost or the manager closed. */
export function deviceEnd({ lifecycle }: Pick<Core, 'lifecycle'>): Ending {
  return { onEnd: (watcher) => lifecycle.onDeviceEnd(watcher) };
}

/** A caller's source with the manager's time limits. */
export function readerOf({ calls, clock, limits }: Core, source: Source, ends: readonly End[]): SourceReader {
  return new SourceReader(source, { calls, clock, stallMs: limits.stallMs, ends });
}
