import { join } from 'node:path';
import { CHECKPOINT_FILE, parseStem, SEGMENT_SUFFIX } from '../../audit/index.js';
import { invalidInput, utf8 } from '../../base/index.js';
import { type AuditFileSystem, hasCode, readSmall } from '../files/index.js';

export const FRONTIER_FILE = 'frontier.json';
/** Leaf hashes of a pruned segment, 32 bytes each. */
const LEAVES_SUFFIX = '.leaves';
const MAX_CHECKPOINT_BYTES = 65_536;

export interface LogFiles {
  /** Segments with records, in order. */
  readonly stems: readonly string[];
  /** Pruned segments, of which only the leaf hashes remain, in order. */
  readonly prunedStems: readonly string[];
  readonly names: readonly string[];
}

/** The contents of a log's directory. Errors: INVALID_INPUT where there is none. */
export async function listLog(fs: AuditFileSystem, dir: string): Promise<LogFiles> {
  let names: string[];
  try {
    names = await fs.list(dir);
  } catch (error) {
    throw noDirectory(error);
  }
  const stemsWith = (suffix: string): string[] =>
    names
      .filter((name) => name.endsWith(suffix))
      .map((name) => name.slice(0, -suffix.length))
      .filter((stem) => parseStem(stem) !== null)
      .sort();
  const stems = stemsWith(SEGMENT_SUFFIX);
  const whole = new Set(stems);
  // A crash while pruning leaves both; the records take precedence.
  const prunedStems = stemsWith(LEAVES_SUFFIX).filter((stem) => !whole.has(stem));
  return { stems, prunedStems, names };
}

function noDirectory(cause: unknown): Error {
  return invalidInput('dir', "cannot be read as an audit log's directory", cause);
}

export function segmentPath(dir: string, stem: string): string {
  return join(dir, stem + SEGMENT_SUFFIX);
}

export function leavesPath(dir: string, stem: string): string {
  return join(dir, stem + LEAVES_SUFFIX);
}

/** Documented in index.ts. */
export async function readCheckpointFile(fs: AuditFileSystem, dir: string): Promise<string | null> {
  let bytes: Uint8Array | null;
  try {
    bytes = await readSmall(fs, join(dir, CHECKPOINT_FILE), MAX_CHECKPOINT_BYTES);
  } catch (error) {
    if (error instanceof RangeError) return '';
    if (hasCode(error, 'ENOTDIR')) throw noDirectory(error);
    throw error;
  }
  if (bytes === null) return null;
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  const exact = utf8(text);
  return exact.length === bytes.length && exact.every((byte, index) => byte === bytes[index]) ? text : '';
}
