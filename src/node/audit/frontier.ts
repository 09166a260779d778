import { join } from 'node:path';
import { parseJsonObject, parseStem, type Segment, segmentStem } from '../../audit/index.js';
import { checkBase64, fromHex, isVramError, toBase64, toHex, utf8 } from '../../base/index.js';
import { type AuditFileSystem, readSmall, replaceFile } from '../files/index.js';
import { FRONTIER_FILE } from './layout.js';

const MAX_FRONTIER_BYTES = 65_536;

/**
 * Stores where the newest segment begins and the tree of everything before it, so that opening a log reads only that
 * segment. It needs no signature: the root computed from it must match the signed checkpoint. The caller syncs the
 * directory.
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
    // Too large, not JSON, not a regular file: a damaged frontier does not mean a damaged log.
    if (isVramError(error) || error instanceof RangeError) return null;
    throw error;
  }
}
