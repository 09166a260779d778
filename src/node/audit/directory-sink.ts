import { join } from 'node:path';
import {
  type AuditGroup,
  type AuditSink,
  CHECKPOINT_FILE,
  type Segment,
  type SignedCheckpoint,
  segmentStem,
} from '../../audit/index.js';
import { concatBytes, utf8, VramError } from '../../base/index.js';
import { type AuditFile, type AuditFileSystem, hasCode, replaceFile, writeFully } from '../files/index.js';
import { writeFrontier } from './frontier.js';
import { segmentPath } from './layout.js';

interface OpenSegment {
  readonly stem: string;
  readonly path: string;
  readonly file: AuditFile;
  readonly identity: string;
}

/**
 * A log's segments in a directory. Everything since the last successful fsync is held in memory: after a failure (of a
 * write, or of an fsync, which may have dropped unwritten pages) the file is truncated to the synced length and the rest
 * is written again.
 */
export class DirectorySink implements AuditSink {
  readonly name = 'directory';
  readonly #fs: AuditFileSystem;
  readonly #dir: string;
  readonly #resumed: { readonly stem: string; readonly bytes: number } | null;
  #open: OpenSegment | null = null;
  /** Groups that no fsync has covered yet; the first `#written` of them are in the file. */
  #pending: AuditGroup[] = [];
  #written = 0;
  #syncedBytes = 0;
  #writtenBytes = 0;
  /** Set after a failure, when only the synced bytes are certain. */
  #damaged = false;

  /** `resumed`: the existing segment to continue, with its length, which must be on stable storage. */
  constructor(
    fs: AuditFileSystem,
    dir: string,
    resumed: { readonly stem: string; readonly bytes: number } | null,
  ) {
    this.#fs = fs;
    this.#dir = dir;
    this.#resumed = resumed;
  }

  async append(group: AuditGroup): Promise<void> {
    this.#pending.push(group);
    await this.#guarded(() => this.#write());
  }

  async sync(): Promise<void> {
    await this.#guarded(async () => {
      await this.#write();
      await this.#syncSegment();
    });
  }

  async checkpoint(checkpoint: SignedCheckpoint): Promise<void> {
    await this.#guarded(async () => {
      await replaceFile(this.#fs, join(this.#dir, CHECKPOINT_FILE), utf8(checkpoint.note));
      await this.#fs.syncDirectory(this.#dir);
    });
  }

  async close(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    await open?.file.close();
  }

  async #guarded(action: () => Promise<void>): Promise<void> {
    try {
      if (this.#damaged) await this.#repair();
      await action();
    } catch (error) {
      this.#damaged = true;
      throw error;
    }
  }

  /** Writes what is pending, segment by segment. */
  async #write(): Promise<void> {
    while (this.#written < this.#pending.length) {
      const group = this.#pending[this.#written];
      if (group === undefined) break;
      if (this.#open?.stem !== segmentStem(group.segment)) await this.#enter(group.segment);
      else {
        const bytes = concatBytes(...group.lines);
        await writeFully(this.#open.file, bytes, this.#writtenBytes);
        this.#writtenBytes += bytes.length;
        this.#written += 1;
      }
    }
  }

  /** Finishes the open segment and opens the one that a group belongs to. */
  async #enter(segment: Segment): Promise<void> {
    if (this.#open !== null) {
      await this.#syncSegment();
      const finished = this.#open;
      this.#open = null;
      await finished.file.close();
    }
    const stem = segmentStem(segment);
    if (this.#resumed !== null && this.#resumed.stem === stem) {
      await this.#adopt(
        stem,
        await this.#fs.open(segmentPath(this.#dir, stem), 'update'),
        this.#resumed.bytes,
      );
    } else {
      await this.#adopt(stem, await this.#make(segmentPath(this.#dir, stem)), 0);
      await writeFrontier(this.#fs, this.#dir, segment);
      await this.#fs.syncDirectory(this.#dir);
    }
  }

  /**
   * Creates a file. An existing one of that name is left over from a failed attempt, or from a crash before its first
   * record.
   */
  async #make(path: string): Promise<AuditFile> {
    try {
      return await this.#fs.open(path, 'create');
    } catch (error) {
      if (!hasCode(error, 'EEXIST') || !this.#damaged) throw error;
    }
    const file = await this.#fs.open(path, 'update');
    try {
      await file.truncate(0);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async #adopt(stem: string, file: AuditFile, bytes: number): Promise<void> {
    try {
      const path = segmentPath(this.#dir, stem);
      this.#open = { stem, path, file, identity: await file.identity() };
      this.#syncedBytes = bytes;
      this.#writtenBytes = bytes;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async #syncSegment(): Promise<void> {
    if (this.#open === null) return;
    const { file, path, identity } = this.#open;
    if (this.#writtenBytes > this.#syncedBytes) await file.sync();
    // Writes to a removed or moved file succeed, and are lost.
    if ((await this.#fs.identity(path)) !== identity) {
      throw new VramError('AUDIT_FAILED', "the audit log's segment is no longer in its directory");
    }
    this.#syncedBytes = this.#writtenBytes;
    this.#pending = this.#pending.slice(this.#written);
    this.#written = 0;
  }

  /** Truncates to the synced length; everything pending is written again. */
  async #repair(): Promise<void> {
    this.#written = 0;
    if (this.#open !== null) {
      const { path, file, identity } = this.#open;
      if ((await this.#fs.identity(path)) !== identity) {
        throw new VramError('AUDIT_FAILED', "the audit log's segment is no longer in its directory");
      }
      await file.truncate(this.#syncedBytes);
      this.#writtenBytes = this.#syncedBytes;
      // The truncation must be durable, and the directory entry too: its fsync may be what failed.
      await file.sync();
      await this.#fs.syncDirectory(this.#dir);
    }
    await this.#write();
    this.#damaged = false;
  }
}
