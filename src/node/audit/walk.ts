import {
  HASH_BYTES,
  leafHash,
  MAX_LINE_BYTES,
  parseStem,
  splitHashes,
  splitLines,
} from '../../audit/index.js';
import { VramError } from '../../base/index.js';
import { readChunks } from '../files/index.js';
import type { AuditPlatform } from './directory.js';
import { type LogFiles, leavesPath, segmentPath } from './layout.js';

/** One leaf of a log. */
export interface Leaf {
  readonly seq: number;
  readonly hash: Uint8Array;
  /** The record's line; null if pruned. Valid until the next leaf is requested. */
  readonly line: Uint8Array | null;
}

/**
 * All leaves of a log in order, up to `size`. Nothing is verified: compare a root. Errors: AUDIT_CORRUPT where leaves
 * are missing.
 */
export async function* walkLeaves(
  { fs, crypto }: AuditPlatform,
  dir: string,
  files: LogFiles,
  size: number,
): AsyncGenerator<Leaf, void, undefined> {
  let seq = 0;
  for (const stem of files.prunedStems) {
    if (seq >= size) return;
    checkPlace(stem, seq);
    for await (const hash of splitHashes(readChunks(fs, leavesPath(dir, stem)))) {
      if (seq >= size || hash.length < HASH_BYTES) break;
      yield { seq, hash, line: null };
      seq += 1;
    }
  }
  for (const stem of files.stems) {
    if (seq >= size) return;
    checkPlace(stem, seq);
    for await (const lines of splitLines(readChunks(fs, segmentPath(dir, stem)), MAX_LINE_BYTES)) {
      for (const { bytes, terminated } of lines) {
        if (seq >= size) return;
        if (!terminated) break;
        yield { seq, hash: await leafHash(crypto, bytes), line: bytes };
        seq += 1;
      }
    }
  }
  if (seq < size) throw incomplete(seq);
}

function checkPlace(stem: string, seq: number): void {
  if (parseStem(stem)?.firstSeq !== seq) throw incomplete(seq);
}

function incomplete(seq: number): VramError {
  return new VramError('AUDIT_CORRUPT', `the audit log is corrupt: record ${seq} is missing`);
}
