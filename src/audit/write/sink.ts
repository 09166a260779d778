import type { Segment, SignedCheckpoint } from '../format/index.js';

/** Records that follow each other in one segment. */
export interface AuditGroup {
  readonly segment: Segment;
  readonly firstSeq: number;
  /** With their newlines. Their `buffer` is shared: transfer none of them. */
  readonly lines: readonly Uint8Array[];
}

/**
 * Where a log's lines go. A sink that rejects keeps what it was given: the next call makes good what is missing before
 * anything else, so lines are neither lost nor written twice. Calls never overlap.
 */
export interface AuditSink {
  readonly name: string;
  /** Writes a group; it need not be on stable storage yet. */
  append(group: AuditGroup): Promise<void>;
  /** Resolves when every group is on stable storage. */
  sync(): Promise<void>;
  /** Replaces the checkpoint; called only after a sync of everything that it covers. */
  checkpoint(checkpoint: SignedCheckpoint): Promise<void>;
  /** Gives back what it holds, also after a failure. */
  close(): Promise<void>;
}
