import { join } from 'node:path';
import { parseJsonObject, parseStem, type Segment, segmentStem } from '../../audit/index.js';
import { checkBase64, fromHex, isVramError, toBase64, toHex, utf8 } from '../../base/index.js';
import { type AuditFileSystem, readSmall, replaceFile } from '../files/index.js';
import { FRONTIER_FILE } from './layout.js';

const MAX_FRONTIER_BYTES = 65_536;

/**
 * Keeps where the newest segment begins, with the tree of everything before it, so that opening a log reads that
 * segment alone. It needs no signature: a root that is computed from it must be that of the signed checkpoint. The
 * caller syncs the directory.
 */
export function writeFrontier(fs: AuditFileSystem, dir: string, segment: Segment): Promise<void> {
  const document = {
    v: 1,
    segment: segmentStem(segment),
    epoch: segment.epoch,
    prev: toHex(segment.prev),
    hashes: segment.frontier.map(toBase64),
  };
  return replaceFile(fs, join(dir, FRONTIER_FILE), utf8(`${JSON.stringify(document)}\n`));
}

/** The stored frontier, or null where none can be read: the log is then walked from its beginning. */
export async function readFrontier(fs: AuditFileSystem, dir: string): Promise<Segment | null> {
  try {
    const bytes = await readSmall(fs, join(dir, FRONTIER_FILE), MAX_FRONTIER_BYTES);
    if (bytes === null) return null;
    const { v, segment, epoch, prev, hashes } = parseJsonObject(new TextDecoder().decode(bytes), 'frontier');
    const name = typeof segment === 'string' ? parseStem(segment) : null;
    if (v !== 1 || name === null || typeof epoch !== 'number' || !Number.isSafeInteger(epoch) || epoch < 0) {
      return null;
    }
    if (typeof prev !== 'string' || prev.length !== 64 || !Array.isArray(hashes)) return null;
    const frontier = hashes.map((hash) => checkBase64('hashes', hash));
    return { ...name, epoch, prev: fromHex(prev), frontier };
  } catch (error) {
    // Too large, not JSON, not a regular file: damage in it is not a verdict on the log.
    if (isVramError(error) || error instanceof RangeError) return null;
    throw error;
  }
}
