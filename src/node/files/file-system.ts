import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, link, lstat, open, readdir, rename, unlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { VramError } from '../../base/index.js';
import { makeDirectories } from './make-directories.js';
import { hasCode, withPath } from './system-error.js';

/** An open file. Offsets and lengths in bytes. */
export interface AuditFile {
  /** Bytes written, which may be fewer than given. */
  write(bytes: Uint8Array, offset: number): Promise<number>;
  /** Bytes read into `target`; 0 at the end. */
  read(target: Uint8Array, offset: number): Promise<number>;
  size(): Promise<number>;
  truncate(length: number): Promise<void>;
  /** fsync. */
  sync(): Promise<void>;
  /** Identifies this file; the same as AuditFileSystem.identity of its path. */
  identity(): Promise<string>;
  close(): Promise<void>;
}

/** `create`: must not exist. `update`: must exist. */
export type OpenMode = 'create' | 'update' | 'read';

/** The log's interface to the file system, where tests inject failures and watch the order of calls. */
export interface AuditFileSystem {
  /**
   * Follows no link, does not block on a pipe, and opens only regular files. Errors: AUDIT_FAILED for anything else of that
   * name.
   */
  open(path: string, mode: OpenMode): Promise<AuditFile>;
  /** Names in a directory. */
  list(directory: string): Promise<string[]>;
  /** Atomic; replaces what has the new name. */
  rename(from: string, to: string): Promise<void>;
  /** Atomic; fails with EEXIST where the new name is taken. */
  link(existing: string, name: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** With its parents; private to the user. Does nothing where it exists. */
  makeDirectory(path: string): Promise<void>;
  /** fsync of a directory: makes its new, renamed and removed names durable. */
  syncDirectory(path: string): Promise<void>;
  /** Of the name itself, even if it is a link; null if it does not exist. */
  identity(path: string): Promise<string | null>;
}

/** Windows has none of these flags, hence 0. */
const { O_NOFOLLOW = 0, O_NONBLOCK = 0, O_NOCTTY = 0, O_DIRECTORY = 0 } = constants;
/** Someone else may have put something under the name: a link to one of our files, or a pipe that blocks open(). */
const GUARDED = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
const FLAGS: Readonly<Record<OpenMode, number>> = {
  create: GUARDED | constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
  update: GUARDED | constants.O_RDWR,
  read: GUARDED | constants.O_RDONLY,
};
/** Records name shards and models, which other users should not see. */
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

export const nodeFileSystem: AuditFileSystem = {
  open: async (path, mode) => new NodeFile(path, await openRegular(path, FLAGS[mode])),
  list: (directory) => readdir(directory),
  rename,
  link,
  remove: unlink,
  makeDirectory: (path) => makeDirectories(path, DIRECTORY_MODE),
  async syncDirectory(path) {
    // Windows opens no directories; NTFS journals names by itself.
    if (process.platform === 'win32') return;
    const handle = await open(path, constants.O_RDONLY | O_DIRECTORY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  async identity(path) {
    try {
      return identityOf(await lstat(path, { bigint: true }));
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) return null;
      throw error;
    }
  },
};

async function openRegular(path: string, flags: number): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    handle = await open(path, flags, FILE_MODE);
  } catch (error) {
    // A link (EMLINK on FreeBSD); a socket.
    throw hasCode(error, 'ELOOP', 'EMLINK', 'ENXIO') ? irregular(path, error) : error;
  }
  try {
    if (!(await handle.stat()).isFile()) throw irregular(path);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function irregular(path: string, cause?: unknown): VramError {
  const name = JSON.stringify(basename(path));
  return new VramError(
    'AUDIT_FAILED',
    `${name} is not a regular file: find out who put it there, and remove it`,
    {
      cause,
    },
  );
}

class NodeFile implements AuditFile {
  readonly #path: string;
  readonly #handle: FileHandle;

  constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  async write(bytes: Uint8Array, offset: number): Promise<number> {
    const writing = withPath(this.#path, () => this.#handle.write(bytes, 0, bytes.length, offset));
    return (await writing).bytesWritten;
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    return (await this.#handle.read(target, 0, target.length, offset)).bytesRead;
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  truncate(length: number): Promise<void> {
    return withPath(this.#path, () => this.#handle.truncate(length));
  }

  sync(): Promise<void> {
    return withPath(this.#path, () => this.#handle.sync());
  }

  async identity(): Promise<string> {
    return identityOf(await this.#handle.stat({ bigint: true }));
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

function identityOf({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): string {
  return `${dev}:${ino}`;
}

/** Writes all bytes, however many calls it takes. */
export async function writeFully(file: AuditFile, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const written = await file.write(bytes.subarray(done), offset + done);
    // Without this check, a file system that accepts nothing and reports no error would loop forever.
    if (written <= 0) throw new Error('the file system wrote nothing');
    done += written;
  }
}

/** Bytes at a time when reading through a file. */
const CHUNK_BYTES = 262_144;

/** A file's bytes from an offset on. A chunk is valid until the next one is requested. */
export async function* readChunks(
  fs: AuditFileSystem,
  path: string,
  from = 0,
): AsyncGenerator<Uint8Array, void, undefined> {
  const file = await fs.open(path, 'read');
  try {
    const buffer = new Uint8Array(CHUNK_BYTES);
    let offset = from;
    for (let read = await file.read(buffer, offset); read > 0; read = await file.read(buffer, offset)) {
      yield buffer.subarray(0, read);
      offset += read;
    }
  } finally {
    await file.close();
  }
}

/** A whole small file, or null if there is none. Errors: the system's; a RangeError above `maxBytes`. */
export async function readSmall(
  fs: AuditFileSystem,
  path: string,
  maxBytes: number,
): Promise<Uint8Array | null> {
  let file: AuditFile;
  try {
    file = await fs.open(path, 'read');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null;
    throw error;
  }
  try {
    const size = await file.size();
    if (size > maxBytes) throw new RangeError(`the file is larger than ${maxBytes} bytes`);
    const bytes = new Uint8Array(size);
    let done = 0;
    for (let read = -1; done < size && read !== 0; done += read) {
      read = await file.read(bytes.subarray(done), done);
    }
    return bytes.subarray(0, done);
  } finally {
    await file.close();
  }
}

/** The name that `replaceFile` gives a file until it is complete. A crash may leave such a file. */
const TEMPORARY = /^(.+)\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;

/** The final name of a temporary file, or null for other names. */
export function targetOfTemporary(name: string): string | null {
  return TEMPORARY.exec(name)?.[1] ?? null;
}

/** Replaces a file atomically: temporary file, fsync, rename. The caller syncs the directory. */
export async function replaceFile(fs: AuditFileSystem, path: string, bytes: Uint8Array): Promise<void> {
  // An unpredictable name.
  const temporary = `${path}.${randomUUID()}.tmp`;
  const file = await fs.open(temporary, 'create');
  try {
    try {
      await writeFully(file, bytes, 0);
      await file.sync();
    } finally {
      await file.close();
    }
    await fs.rename(temporary, path);
  } catch (error) {
    // The first failure is reported; a leftover file is removed when the log is next opened.
    await fs.remove(temporary).catch(() => undefined);
    throw error;
  }
}
