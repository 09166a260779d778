import type { Segment, SignedCheckpoint } from '../format/index.js';

/** Records that follow each other in one segment. */
export interface AuditGroup {
  readonly segment: Segment;
  readonly firstSeq: number;
  /** With their newlines. Their `buffer` is shared: transfer none of them. */
  readonly lines: readonly Uint8Array[];
}

/**
 * The destination of a log's lines. A sink that rejects keeps the groups passed to it: the next call first writes what is
 * missing, so lines are neither lost nor written twice. Calls never overlap.
 */
export interface AuditSink {
  readonly name: string;
  /** Writes a group; it need not be on stable storage yet. */
  append(group: AuditGroup): Promise<void>;
  /** Resolves when every group is on stable storage. */
  sync(): Promise<void>;
  /** Replaces the checkpoint; called only after a sync of everything that it covers. */
  checkpoint(checkpoint: SignedCheckpoint): Promise<void>;
  /** Releases its resources, also after a failure. */
  close(): Promise<void>;
}
