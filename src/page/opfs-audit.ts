import {
  type AuditGroup,
  type AuditSink,
  CHECKPOINT_FILE,
  parseStem,
  SEGMENT_SUFFIX,
  type SignedCheckpoint,
  segmentStem,
} from '../audit/index.js';
import { checkOptions, concatBytes, type OptionKeys, toHex, utf8, VramError } from '../base/index.js';
import type { AuditFile } from './audit-files.js';
import { fileCall, isDomError, privateFolder, removeEntry } from './file-system.js';

/** Options of OpfsAuditSink.open(). */
export interface OpfsAuditOptions {
  /** Another folder than the library's own in the origin private file system; logs are folders in it. */
  readonly directory?: FileSystemDirectoryHandle | undefined;
}

/** What is used of a FileSystemSyncAccessHandle, which only workers have. */
interface SyncAccess {
  write(bytes: Uint8Array, options: { readonly at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

const OPTION_KEYS = { directory: true } satisfies OptionKeys<OpfsAuditOptions>;

/**
 * An audit log in the origin private file system: the files that a log has in a directory of Node, in a folder of its
 * own for every log. Records are on the disk when sync() resolves. It works in dedicated workers alone: a page's own
 * thread cannot write a file in place, and has MemorySink.
 */
export class OpfsAuditSink implements AuditSink {
  readonly name = 'opfs';
  /** The log's folder: when it was opened, and eight random digits. */
  readonly logName: string;
  readonly #folder: FileSystemDirectoryHandle;
  #open: { readonly stem: string; readonly access: SyncAccess } | null = null;
  /** Groups that are not flushed yet; the first `#written` of them were written. */
  #pending: AuditGroup[] = [];
  #written = 0;
  #flushedBytes = 0;
  #writtenBytes = 0;

  private constructor(logName: string, folder: FileSystemDirectoryHandle) {
    this.logName = logName;
    this.#folder = folder;
  }

  /**
   * Errors: INVALID_INPUT; DEVICE_UNAVAILABLE outside a dedicated worker, or where the browser refuses its file system.
   */
  static async open(options: OpfsAuditOptions = {}): Promise<OpfsAuditSink> {
    const parent = await logsFolder(options);
    const random = toHex(globalThis.crypto.getRandomValues(new Uint8Array(4)));
    const logName = `${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}Z-${random}`;
    const folder = await fileCall(() => parent.getDirectoryHandle(logName, { create: true }));
    const sink = new OpfsAuditSink(logName, folder);
    try {
      // Found out now, not at the first record.
      (await sink.#accessTo(CHECKPOINT_FILE)).close();
      await removeEntry(folder, CHECKPOINT_FILE);
    } catch (error) {
      await Promise.allSettled([removeEntry(parent, logName)]);
      throw error;
    }
    return sink;
  }

  async append(group: AuditGroup): Promise<void> {
    this.#pending.push(group);
    await this.#write();
  }

  async sync(): Promise<void> {
    await this.#write();
    this.#flush();
  }

  async checkpoint(checkpoint: SignedCheckpoint): Promise<void> {
    const handle = await fileCall(() => this.#folder.getFileHandle(CHECKPOINT_FILE, { create: true }));
    // Swapped in as a whole when it is closed.
    const file = await fileCall(() => handle.createWritable());
    try {
      await fileCall(() => file.write(new Uint8Array(utf8(checkpoint.note))));
      await fileCall(() => file.close());
    } catch (error) {
      await Promise.allSettled([fileCall(() => file.abort())]);
      throw error;
    }
  }

  async close(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    open?.access.close();
  }

  /** The log's files as they are now; what was not synced yet may be missing. */
  files(): Promise<readonly AuditFile[]> {
    return filesOf(this.#folder);
  }

  /** Writes at fixed places: what failed is written there again by the next call. */
  async #write(): Promise<void> {
    try {
      for (
        let group = this.#pending[this.#written];
        group !== undefined;
        group = this.#pending[this.#written]
      ) {
        const access = await this.#enter(segmentStem(group.segment));
        const bytes = concatBytes(...group.lines);
        if (access.write(bytes, { at: this.#writtenBytes }) !== bytes.length) {
          throw new VramError('AUDIT_FAILED', "the page's storage has no room for the audit log");
        }
        this.#writtenBytes += bytes.length;
        this.#written += 1;
      }
    } catch (error) {
      this.#writtenBytes = this.#flushedBytes;
      this.#written = 0;
      throw error;
    }
  }

  /** The segment's file, opened; the one before it is finished first. */
  async #enter(stem: string): Promise<SyncAccess> {
    if (this.#open?.stem === stem) return this.#open.access;
    this.#flush();
    await this.close();
    const access = await this.#accessTo(stem + SEGMENT_SUFFIX);
    access.truncate(0);
    this.#open = { stem, access };
    this.#flushedBytes = 0;
    this.#writtenBytes = 0;
    return access;
  }

  #flush(): void {
    this.#open?.access.flush();
    this.#flushedBytes = this.#writtenBytes;
    this.#pending = this.#pending.slice(this.#written);
    this.#written = 0;
  }

  async #accessTo(name: string): Promise<SyncAccess> {
    const handle = await fileCall(() => this.#folder.getFileHandle(name, { create: true }));
    if (!canBeWritten(handle)) {
      throw new VramError(
        'DEVICE_UNAVAILABLE',
        'a page writes no file in place: open the log in a dedicated worker, or use a MemorySink',
      );
    }
    return await fileCall(() => handle.createSyncAccessHandle());
  }
}

/** A log that was written on this visit or an earlier one. */
export interface OpfsAuditLog {
  readonly name: string;
  files(): Promise<readonly AuditFile[]>;
  /** False while some tab has it open. */
  remove(): Promise<boolean>;
}

/**
 * The logs in this origin's private file system, oldest first. Errors: as OpfsAuditSink.open(), without needing a
 * worker.
 */
export async function opfsAuditLogs(options: OpfsAuditOptions = {}): Promise<readonly OpfsAuditLog[]> {
  const parent = await logsFolder(options);
  const logs: OpfsAuditLog[] = [];
  for await (const [name, handle] of parent.entries()) {
    if (!isFolder(handle)) continue;
    logs.push({ name, files: () => filesOf(handle), remove: () => removeLog(parent, name) });
  }
  return logs.sort((one, other) => (one.name < other.name ? -1 : 1));
}

async function logsFolder(options: OpfsAuditOptions): Promise<FileSystemDirectoryHandle> {
  checkOptions('options', options, OPTION_KEYS);
  return options.directory ?? (await privateFolder('audit'));
}

async function removeLog(parent: FileSystemDirectoryHandle, name: string): Promise<boolean> {
  try {
    return await removeEntry(parent, name);
  } catch (error) {
    if (isDomError(error, 'NoModificationAllowedError')) return false;
    throw error;
  }
}

async function filesOf(folder: FileSystemDirectoryHandle): Promise<readonly AuditFile[]> {
  const files: AuditFile[] = [];
  for await (const name of folder.keys()) {
    // A browser may show the files aside that it swaps in.
    if (name !== CHECKPOINT_FILE && parseStem(name.slice(0, -SEGMENT_SUFFIX.length)) === null) continue;
    const handle = await fileCall(() => folder.getFileHandle(name));
    files.push({ name, blob: await fileCall(() => handle.getFile()) });
  }
  return files.sort((one, other) => (one.name < other.name ? -1 : 1));
}

function isFolder(handle: FileSystemHandle): handle is FileSystemDirectoryHandle {
  return handle.kind === 'directory';
}

function canBeWritten(
  handle: FileSystemFileHandle,
): handle is FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncAccess> } {
  return 'createSyncAccessHandle' in handle;
}
