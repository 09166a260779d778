import type { AuditRecord, ChainState, CompactRange, Segment } from '../../audit/index.js';
import { VramError } from '../../base/index.js';
import type { CryptoProvider, Signer } from '../../crypto/index.js';
import type { AuditFileSystem } from '../files/index.js';

/** The bytes after the last good record, which were never acknowledged. */
export interface TornTail {
  readonly stem: string;
  readonly seq: number;
  /** Where it begins in the segment; everything from there on is removed. */
  readonly offset: number;
  readonly bytes: number;
}

/** The state of a log's directory before any change. */
export interface Survey {
  readonly state: ChainState;
  /** The segment that will be continued, as it is once the tail is repaired; null for an empty log. */
  readonly segment: { readonly stem: string; readonly bytes: number } | null;
  readonly checkpointedSize: number;
  readonly torn: TornTail | null;
  /** The last record is whole and its MAC holds; only its newline is missing. */
  readonly newlineMissing: boolean;
  /** Segments without a record: made, but not written before the crash. */
  readonly emptyStems: readonly string[];
  /** False where the last writer did not close the log. */
  readonly closed: boolean;
}

export interface SurveyContext {
  readonly fs: AuditFileSystem;
  readonly dir: string;
  readonly crypto: CryptoProvider;
  readonly token: Uint8Array;
  readonly workerId: string;
  readonly signer: Signer;
  /** The log that the caller expects here; null: any, or none yet. */
  readonly expectedLogId: string | null;
}

/**
 * Where a walk through a log begins: at its first record, or at a later segment with the tree of everything before it.
 */
export interface WalkStart {
  readonly stems: readonly string[];
  /** Of the first of these segments. */
  readonly epoch: number;
  readonly prev: string;
  readonly tree: CompactRange;
}

/** How far a walk got. */
export interface WalkEnd {
  readonly tree: CompactRange;
  readonly prev: string;
  /** The last segment that has a record; null where none of those walked has one. */
  readonly segment: { readonly start: Segment; readonly stem: string; readonly bytes: number } | null;
  readonly last: AuditRecord | null;
  readonly torn: TornTail | null;
  readonly newlineMissing: boolean;
  readonly emptyStems: readonly string[];
}

/** AUDIT_CORRUPT for a log that is left unchanged. */
export function corrupt(what: string, cause?: unknown): VramError {
  return new VramError('AUDIT_CORRUPT', `the audit log is corrupt: ${what}. Nothing was changed`, { cause });
}
