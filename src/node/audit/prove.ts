import {
  CompactRange,
  type ConsistencyDocument,
  consistencyDocument,
  consistencyRanges,
  type InclusionDocument,
  inclusionDocument,
  inclusionRanges,
  type ProofReport,
  parseCheckpoint,
  RangeHasher,
  type SignedCheckpoint,
  verifyProofDocument,
} from '../../audit/index.js';
import { checkInteger, equalBytes, invalidInput, isVramError, VramError } from '../../base/index.js';
import { nodeCrypto } from '../crypto.js';
import { type AuditPlatform, systemPlatform } from './directory.js';
import { listLog, readCheckpointFile } from './layout.js';
import { reading } from './verify.js';
import { walkLeaves } from './walk.js';

/** The log, and what to prove. */
export type ProveAuditOptions =
  | {
      /** Proves that the record with this sequence number is in the log. */
      readonly seq: number;
    }
  | {
      /** Proves that the log of this older signed checkpoint is a prefix of the present log. */
      readonly since: string;
    };

/** Documented at the door, index.ts. */
export async function proveAudit(
  dir: string,
  options: ProveAuditOptions,
  platform: AuditPlatform = systemPlatform,
): Promise<InclusionDocument | ConsistencyDocument> {
  return reading(async () => {
    const checkpoint = await newestCheckpoint(platform, dir);
    return 'seq' in options
      ? inclusion(platform, dir, checkpoint, options.seq)
      : consistency(platform, dir, checkpoint, options.since);
  });
}

/** Documented at the door, index.ts. */
export function verifyProof(text: string, verifierKey: string): Promise<ProofReport> {
  return verifyProofDocument(nodeCrypto, text, verifierKey);
}

/** The checkpoint in a log's directory. Errors: INVALID_INPUT where there is none, AUDIT_CORRUPT where it cannot be read. */
export async function newestCheckpoint({ fs }: AuditPlatform, dir: string): Promise<SignedCheckpoint> {
  const note = await readCheckpointFile(fs, dir);
  if (note === null) throw invalidInput('dir', 'has no checkpoint, so it is not an audit log');
  try {
    return parseCheckpoint(note).checkpoint;
  } catch (error) {
    if (!isVramError(error, 'INVALID_INPUT')) throw error;
    throw new VramError('AUDIT_CORRUPT', 'the audit log is corrupt: its checkpoint cannot be read', {
      cause: error,
    });
  }
}

async function inclusion(
  platform: AuditPlatform,
  dir: string,
  checkpoint: SignedCheckpoint,
  seq: number,
): Promise<InclusionDocument> {
  checkInteger('seq', seq, 0);
  if (seq >= checkpoint.size) {
    throw invalidInput('seq', `must be below ${checkpoint.size}, the number of records under the checkpoint`);
  }
  let leaf: string | null = null;
  const ranges = inclusionRanges(seq, checkpoint.size);
  const hashes = await hashRanges(platform, dir, checkpoint, ranges, (index, line) => {
    if (index === seq && line !== null) leaf = new TextDecoder('utf-8', { ignoreBOM: true }).decode(line);
  });
  if (leaf === null) throw invalidInput('seq', 'was pruned: only the hash of its record remains');
  return inclusionDocument(checkpoint, seq, leaf, hashes);
}

async function consistency(
  platform: AuditPlatform,
  dir: string,
  checkpoint: SignedCheckpoint,
  since: string,
): Promise<ConsistencyDocument> {
  const { checkpoint: old } = parseCheckpoint(since, 'since');
  if (old.origin !== checkpoint.origin) throw invalidInput('since', 'must be a checkpoint of this log');
  if (old.size < 1) throw invalidInput('since', 'must cover at least one record');
  if (old.size > checkpoint.size) {
    throw new VramError(
      'AUDIT_CORRUPT',
      `the log was truncated: ${old.size} records were signed, and it has ${checkpoint.size}`,
    );
  }
  const ranges = consistencyRanges(old.size, checkpoint.size);
  return consistencyDocument(
    old,
    checkpoint,
    await hashRanges(platform, dir, checkpoint, ranges, () => undefined),
  );
}

/**
 * Walks the log once, checking on the way that its root is the checkpoint's: a proof from other records would prove
 * nothing.
 */
async function hashRanges(
  platform: AuditPlatform,
  dir: string,
  checkpoint: SignedCheckpoint,
  ranges: readonly { readonly begin: number; readonly end: number }[],
  visit: (seq: number, line: Uint8Array | null) => void,
): Promise<Uint8Array[]> {
  const files = await listLog(platform.fs, dir);
  const hasher = new RangeHasher(platform.crypto, ranges);
  const tree = new CompactRange(platform.crypto);
  for await (const { seq, hash, line } of walkLeaves(platform, dir, files, checkpoint.size)) {
    visit(seq, line);
    await hasher.append(hash);
    await tree.append(hash);
  }
  if (!equalBytes(await tree.root(), checkpoint.root)) {
    throw new VramError(
      'AUDIT_CORRUPT',
      'the audit log is corrupt: its records are not those of its checkpoint',
    );
  }
  return hasher.hashes(ranges);
}
