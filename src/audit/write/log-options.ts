import type { AbandonedCalls } from '../../base/index.js';
import type { CryptoProvider, Signer } from '../../crypto/index.js';
import type { Chain } from './chain.js';
import type { OnCheckpoint } from './delivery.js';
import type { RecordedSecret } from './secret.js';
import type { AuditSink } from './sink.js';

/** Options of an audit log that do not depend on where it is kept. */
export interface AuditLogOptions {
  /** Events that may be queued before emitters have to wait: at least 1, default 8192. */
  readonly maxQueue?: number | undefined;
  /**
   * Called with each new checkpoint, one after the other. A failure does not stop the log; `close()` rejects with it, and
   * `status().checkpointFailures` counts them.
   */
  readonly onCheckpoint?: OnCheckpoint | undefined;
  /**
   * Milliseconds that a sink or `onCheckpoint` may take for one call, from 1 to 2^31 - 1; default 30,000. After that the
   * log fails (AUDIT_FAILED) until the sink answers, and new groups are queued for it; a checkpoint counts as failed.
   */
  readonly sinkMs?: number | undefined;
  /**
   * Milliseconds that the signer may take for one checkpoint, from 1 to 2^31 - 1; default 300,000. After that the log fails
   * (AUDIT_FAILED) until the signer answers.
   */
  readonly signerMs?: number | undefined;
  /** Wall clock; default the system's. */
  readonly now?: (() => Date) | undefined;
  /** Monotonic milliseconds; default performance.now. */
  readonly monotonicMs?: (() => number) | undefined;
}

export interface AuditLogParts {
  readonly crypto: CryptoProvider;
  readonly chain: Chain;
  readonly sinks: readonly AuditSink[];
  /** null: no checkpoints. */
  readonly signer: Signer | null;
  /** Finds the worker's token in text, to remove it from every record (AU-006). Default: nothing is removed. */
  readonly secret?: RecordedSecret;
  /** Records that the newest checkpoint covers; default all that the chain has. */
  readonly checkpointedSize?: number;
}

/** The head of the log: what an attestation carries. */
export interface LogHead {
  readonly origin: string;
  readonly logId: string;
  /** Number of records. */
  readonly size: number;
  /** RFC 6962 root of these records, 32 bytes. */
  readonly root: Uint8Array;
  /** The signed checkpoint of exactly this head, or null where none are signed. */
  readonly checkpoint: string | null;
}

/** How an audit log is doing. */
export interface AuditStatus {
  /** Records in the chain. */
  readonly records: number;
  readonly queued: number;
  /** True while the log cannot be written; seals and executions fail meanwhile. */
  readonly failing: boolean;
  /** Since the last recovery: events that found the queue full while writing failed. */
  readonly unrecordedEvents: number;
  readonly unrecordedReleases: number;
  /** Checkpoints for which `onCheckpoint` failed. */
  readonly checkpointFailures: number;
  /** Abandoned calls into sinks, signer and `onCheckpoint`, and how many of these ended later. */
  readonly abandonedCalls: AbandonedCalls;
}

/** Options of waits for a log. */
export interface AuditWaitOptions {
  /** Ends the wait (ABORTED), not the work. */
  readonly signal?: AbortSignal | undefined;
}
