import type { RangedSource } from '../../source/index.js';
import { checkPath, OpenFile } from './open-file.js';

/** A file and its identity when it was opened. */
export interface FileSource extends RangedSource {
  readonly path: string;
  readonly size: number;
  /** Time of the last write, in nanoseconds since 1970. Anyone who may write the file can also set it. */
  readonly mtimeNs: bigint;
  /** Time of the last change of content or attributes, in nanoseconds since 1970. Only the system sets it. */
  readonly ctimeNs: bigint;
  readonly inode: bigint;
  /** The file system that the inode counts in. */
  readonly device: bigint;
}

/**
 * Weights in a regular file, opened once and read from that descriptor alone. Shortening, extending, rewriting or
 * replacing the file meanwhile is detected (IV-006).
 *
 * Errors: INVALID_INPUT if it is missing, unreadable or not a regular file; SOURCE_MISMATCH while reading and from
 * `unchanged`.
 */
export async function fileSource(path: string): Promise<FileSource> {
  const absolute = checkPath(path);
  return await OpenFile.open(absolute, absolute, path);
}
