import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { getSystemErrorName } from 'node:util';
import {
  checkInteger,
  invalidInput,
  isVramError,
  MAX_INTEGER,
  throwIfAborted,
  VramError,
} from '../../base/index.js';
import type { RangedSource } from '../../source/index.js';
import { hasCode } from './system-error.js';

/** Buffers of one stream: the consumer has one, the others are being filled, so that reading overlaps hashing and upload. */
const BUFFERS = 3;
/**
 * Without O_NONBLOCK, opening a named pipe would wait for a writer; it makes no difference for regular files. Opening a
 * terminal must not make it the process's own. Both are undefined on Windows, where no path names such things.
 */
const READ_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);

/**
 * An argument that names a file or folder, made absolute. Links in it are left to the system, which alone resolves them
 * correctly.
 */
export function checkPath(path: string): string {
  if (typeof path !== 'string' || path.length === 0) throw invalidInput('path', 'must be a non-empty string');
  if (path.includes('\0')) throw invalidInput('path', 'must not contain null bytes');
  return resolve(path);
}

/** Opens the name, whatever it is; its type is judged by the descriptor. Errors: INVALID_INPUT, with the path as `shown`. */
export async function openToRead(at: string, shown: string): Promise<FileHandle> {
  try {
    return await open(at, READ_FLAGS);
  } catch (error) {
    throw invalidInput('path', `cannot be opened: ${JSON.stringify(shown)}: ${reasonOf(error)}`, error);
  }
}

/** Whether opening failed because the name does not exist. */
export function isMissing(error: unknown): boolean {
  return isVramError(error, 'INVALID_INPUT') && hasCode(error.cause, 'ENOENT', 'ENOTDIR');
}

/** A regular file, opened once and read only through that descriptor: the implementation of a FileSource. */
export class OpenFile implements RangedSource {
  readonly byteLength: number;
  readonly label: string;
  readonly path: string;
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly inode: bigint;
  readonly device: bigint;
  readonly #handle: FileHandle;
  #closed: Promise<void> | undefined;

  private constructor(path: string, handle: FileHandle, opened: BigIntStats) {
    this.path = path;
    this.label = basename(path);
    this.size = Number(opened.size);
    this.byteLength = this.size;
    this.mtimeNs = opened.mtimeNs;
    this.ctimeNs = opened.ctimeNs;
    this.inode = opened.ino;
    this.device = opened.dev;
    this.#handle = handle;
  }

  /** Opens the file `at` a path. `path` is its lasting name, which `unchanged` checks; messages show `shown`. */
  static async open(at: string, path: string, shown: string): Promise<OpenFile> {
    return await OpenFile.of(await openToRead(at, shown), path, shown);
  }

  /** Takes over a handle; one that is not a regular file's is closed. Errors: INVALID_INPUT. */
  static async of(handle: FileHandle, path: string, shown: string): Promise<OpenFile> {
    try {
      const opened = await handle.stat({ bigint: true });
      refuseIrregular(shown, opened);
      if (opened.size > BigInt(MAX_INTEGER))
        throw invalidInput('path', 'names a file of more than 2^53 - 1 bytes');
      return new OpenFile(path, handle, opened);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** The descriptor, from which the system derives the file's location. */
  get descriptor(): number {
    return this.#handle.fd;
  }

  /** Whether a file found elsewhere is this one. */
  is(other: { readonly dev: bigint; readonly ino: bigint }): boolean {
    return other.dev === this.device && other.ino === this.inode;
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
      // No read may write to a buffer or use the handle after the stream has ended.
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

  async readNatively(
    offset: number,
    length: number,
    native: (descriptor: number) => Promise<number>,
  ): Promise<void> {
    let present: number;
    try {
      present = await native(this.#handle.fd);
    } catch (error) {
      throw error instanceof VramError ? error : this.#unreadable(error);
    }
    if (present < length) throw this.#endsAt(offset + present);
  }

  async unchanged(): Promise<void> {
    const changed = (what: string, cause?: unknown): VramError =>
      new VramError(
        'SOURCE_MISMATCH',
        `the file "${this.label}" ${what} while it was in use; try again when it no longer changes`,
        {
          cause,
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
    // A writer can reset the time of the last write, but not this one.
    if (open.ctimeNs !== this.ctimeNs) throw changed('was written, or its attributes were changed,');
    if (!this.is(named)) throw changed('was replaced by another');
  }

  close(): Promise<void> {
    this.#closed ??= this.#handle.close();
    return this.#closed;
  }

  /** Never rejects: a chunk read ahead may fail long before it is awaited. */
  async #fill(target: Uint8Array, offset: number): Promise<ReadOutcome> {
    try {
      for (let done = 0; done < target.length; ) {
        const { bytesRead } = await this.#handle.read(target, done, target.length - done, offset + done);
        if (bytesRead === 0) throw this.#endsAt(offset + done);
        done += bytesRead;
      }
      return { bytes: target };
    } catch (error) {
      return { error: error instanceof VramError ? error : this.#unreadable(error) };
    }
  }

  #endsAt(byte: number): VramError {
    return new VramError('SOURCE_MISMATCH', `the file "${this.label}" ends at byte ${byte} of ${this.size}`);
  }

  #unreadable(cause: unknown): VramError {
    const reason = this.#closed === undefined ? reasonOf(cause) : 'its source was closed';
    return invalidInput('path', `could not be read (${reason})`, cause);
  }
}

type ReadOutcome = { readonly bytes: Uint8Array } | { readonly error: VramError };

function refuseIrregular(path: string, stats: BigIntStats): void {
  if (stats.isDirectory()) throw invalidInput('path', `is a directory: ${JSON.stringify(path)}`);
  if (!stats.isFile()) throw invalidInput('path', `is not a regular file: ${JSON.stringify(path)}`);
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENOTDIR: 'a part of the path is not a directory',
  EISDIR: 'it is a directory',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'the name is too long',
  EMFILE: 'too many open files',
  EIO: 'input/output error',
  ENXIO: 'it is not a regular file',
};

function reasonOf(error: unknown): string {
  const name = systemName(error) ?? 'unknown error';
  return REASONS[name] ?? name;
}

/** EIO or the like; the addon's errors have the number alone. */
function systemName(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  if ('errno' in error && typeof error.errno === 'number') return getSystemErrorName(error.errno);
  return 'code' in error && typeof error.code === 'string' ? error.code : null;
}
