import { VramError } from '../../base/index.js';
import { type FileSource, fileSource } from './file-source.js';

/** Identifies a file and its version. */
export interface SourceFacts {
  /** Absolute, as it was named. */
  readonly path: string;
  readonly byteLength: number;
  /** Nanoseconds since 1970: of the last write, and of the last change of content or attributes. */
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly inode: bigint;
  /** The file system that the inode counts in. */
  readonly device: bigint;
}

export function factsOf({ path, byteLength, mtimeNs, ctimeNs, inode, device }: FileSource): SourceFacts {
  return { path, byteLength, mtimeNs, ctimeNs, inode, device };
}

/**
 * Opens the file that facts were taken from, for instance to heal from it. Errors: SOURCE_MISMATCH if it has changed;
 * INVALID_INPUT if it cannot be opened.
 */
export async function openUnchanged(facts: SourceFacts): Promise<FileSource> {
  const source = await fileSource(facts.path);
  const now = factsOf(source);
  const changed =
    (now.byteLength !== facts.byteLength && 'size') ||
    (now.device !== facts.device && 'file system') ||
    (now.inode !== facts.inode && 'inode') ||
    ((now.mtimeNs !== facts.mtimeNs || now.ctimeNs !== facts.ctimeNs) && 'time of change');
  if (changed === false) return source;
  await source.close();
  throw new VramError(
    'SOURCE_MISMATCH',
    `the file "${source.label}" has another ${changed} than when it was registered`,
  );
}
