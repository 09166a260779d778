import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { checkInteger, invalidInput, MAX_INTEGER, throwIfAborted, VramError } from '../../base/index.js';
import type { RangedSource } from '../../source/index.js';

/** Buffers of one stream: one at the consumer's, the others being filled, so that reading overlaps hashing and upload. */
const BUFFERS = 3;
/** O_NONBLOCK is undefined on Windows, where no path of the file system names a pipe that waits. */
const READ_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** A file, and what told it apart when it was opened. */
export interface FileSource extends RangedSource {
  readonly path: string;
  readonly size: number;
  /** Nanoseconds since 1970. */
  readonly mtimeNs: bigint;
  readonly inode: bigint;
}

/**
 * Weights in a regular file, opened once. Whoever shortens, extends, rewrites or replaces it meanwhile is found out (IV-006).
 * Errors: INVALID_INPUT if it is missing, unreadable or no regular file; SOURCE_MISMATCH while reading and from `unchanged`.
 */
export async function fileSource(path: string): Promise<FileSource> {
  if (typeof path !== 'string' || path.length === 0) throw invalidInput('path', 'must be a non-empty string');
  if (path.includes('\0')) throw invalidInput('path', 'must not contain null bytes');
  const absolute = resolve(path);
  // Looked at before it is opened: opening a named pipe would wait for a writer.
  const before = await refuseUnreadable(path, stat(absolute, { bigint: true }));
  refuseIrregular(path, before);
  // What the path names may have been exchanged since: without O_NONBLOCK a named pipe would hang here. Regular files know no difference.
  const handle = await refuseUnreadable(path, open(absolute, READ_FLAGS));
  try {
    const opened = await handle.stat({ bigint: true });
    refuseIrregular(path, opened);
    if (opened.size > BigInt(MAX_INTEGER))
      throw invalidInput('path', 'names a file of more than 2^53 - 1 bytes');
    return new OpenFile(absolute, handle, opened);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

class OpenFile implements FileSource {
  readonly byteLength: number;
  readonly label: string;
  readonly path: string;
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly inode: bigint;
  readonly #handle: FileHandle;
  readonly #device: bigint;
  #closed: Promise<void> | undefined;

  constructor(path: string, handle: FileHandle, opened: BigIntStats) {
    this.path = path;
    this.label = basename(path);
    this.size = Number(opened.size);
    this.byteLength = this.size;
    this.mtimeNs = opened.mtimeNs;
    this.inode = opened.ino;
    this.#device = opened.dev;
    this.#handle = handle;
  }

  async *stream({
    signal,
    chunkBytes,
  }: {
    signal?: AbortSignal;
    chunkBytes: number;
  }): AsyncIterable<Uint8Array> {
    checkInteger('chunkBytes', chunkBytes, 1);
    const bufferBytes = Math.min(chunkBytes, this.byteLength);
    const chunks = Math.ceil(this.byteLength / Math.max(bufferBytes, 1));
    const reads: Promise<ReadOutcome>[] = [];
    const start = (chunk: number, buffer: Uint8Array): void => {
      const offset = chunk * bufferBytes;
      reads[chunk % BUFFERS] = this.#fill(
        buffer.subarray(0, Math.min(bufferBytes, this.byteLength - offset)),
        offset,
      );
    };
    const buffers: Uint8Array[] = [];
    for (let chunk = 0; chunk < Math.min(chunks, BUFFERS); chunk++) {
      const buffer = new Uint8Array(bufferBytes);
      buffers.push(buffer);
      start(chunk, buffer);
    }
    try {
      for (let chunk = 0; chunk < chunks; chunk++) {
        throwIfAborted(signal);
        const outcome = await reads[chunk % BUFFERS];
        if (outcome === undefined) break;
        if ('error' in outcome) throw outcome.error;
        yield outcome.bytes;
        const buffer = buffers[chunk % BUFFERS];
        if (buffer !== undefined && chunk + BUFFERS < chunks) start(chunk + BUFFERS, buffer);
      }
      await this.unchanged();
    } finally {
      // No read may land in a buffer, or need the handle, after the stream has ended.
      await Promise.all(reads);
    }
  }

  async readRange(offset: number, length: number): Promise<Uint8Array> {
    checkInteger('offset', offset, 0);
    checkInteger('length', length, 0);
    if (length > this.byteLength - offset)
      throw invalidInput('length', `ends behind the ${this.byteLength} bytes`);
    const outcome = await this.#fill(new Uint8Array(length), offset);
    if ('error' in outcome) throw outcome.error;
    return outcome.bytes;
  }

  async unchanged(): Promise<void> {
    const changed = (what: string, cause?: unknown): VramError =>
      new VramError(
        'SOURCE_MISMATCH',
        `the file "${this.label}" ${what} while it was in use; try again when it is at rest`,
        {
          ...(cause === undefined ? {} : { cause }),
        },
      );
    const [open, named] = await Promise.all([
      this.#handle.stat({ bigint: true }),
      stat(this.path, { bigint: true }).catch((error: unknown) => {
        throw changed('was removed', error);
      }),
    ]);
    if (open.size < BigInt(this.size)) throw changed('shrank');
    if (open.size > BigInt(this.size)) throw changed('grew');
    if (open.mtimeNs !== this.mtimeNs) throw changed('was written');
    if (named.ino !== this.inode || named.dev !== this.#device) throw changed('was replaced by another');
  }

  close(): Promise<void> {
    this.#closed ??= this.#handle.close();
    return this.#closed;
  }

  /** Never rejects: a chunk read ahead may fail long before anyone waits for it. */
  async #fill(target: Uint8Array, offset: number): Promise<ReadOutcome> {
    try {
      for (let done = 0; done < target.length; ) {
        const { bytesRead } = await this.#handle.read(target, done, target.length - done, offset + done);
        if (bytesRead === 0) {
          throw new VramError(
            'SOURCE_MISMATCH',
            `the file "${this.label}" ends at byte ${offset + done} of ${this.size}`,
          );
        }
        done += bytesRead;
      }
      return { bytes: target };
    } catch (error) {
      if (error instanceof VramError) return { error };
      return { error: invalidInput('path', `could not be read (${reasonOf(error)})`, error) };
    }
  }
}

type ReadOutcome = { readonly bytes: Uint8Array } | { readonly error: VramError };

async function refuseUnreadable<T>(path: string, attempt: Promise<T>): Promise<T> {
  try {
    return await attempt;
  } catch (error) {
    throw invalidInput('path', `cannot be opened: ${JSON.stringify(path)}: ${reasonOf(error)}`, error);
  }
}

function refuseIrregular(path: string, stats: BigIntStats): void {
  if (stats.isDirectory()) throw invalidInput('path', `is a directory: ${JSON.stringify(path)}`);
  if (!stats.isFile()) throw invalidInput('path', `is no regular file: ${JSON.stringify(path)}`);
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENOTDIR: 'a part of the path is no directory',
  EISDIR: 'it is a directory',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'the name is too long',
  EMFILE: 'too many open files',
  EIO: 'input/output error',
};

function reasonOf(error: unknown): string {
  const code =
    error instanceof Error && 'code' in error && typeof error.code === 'string'
      ? error.code
      : 'unknown error';
  return REASONS[code] ?? code;
}
