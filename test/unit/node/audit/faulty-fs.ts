import { basename } from 'node:path';
import {
  type AuditFile,
  type AuditFileSystem,
  nodeFileSystem,
  type OpenMode,
} from '../../../../src/node/files/file-system.js';

export type Operation =
  | 'open'
  | 'write'
  | 'read'
  | 'truncate'
  | 'sync'
  | 'rename'
  | 'link'
  | 'remove'
  | 'syncDirectory'
  | 'makeDirectory';

/** What happens instead of an operation; `short`: a write takes half of what it is given. */
export type Fault = 'ENOSPC' | 'EIO' | 'EACCES' | 'short';

export interface Call {
  readonly operation: Operation;
  /** Name of the file, without its directory. */
  readonly name: string;
}

/** The real file system, with a record of calls and failures where they are asked for. */
export class FaultyFileSystem implements AuditFileSystem {
  readonly calls: Call[] = [];
  /** Asked before every call; its number counts from 0. */
  fault: (call: Call, number: number) => Fault | null = () => null;

  async open(path: string, mode: OpenMode): Promise<AuditFile> {
    if (mode !== 'read') this.check('open', path);
    return this.#wrap(await nodeFileSystem.open(path, mode), path);
  }

  list(directory: string): Promise<string[]> {
    return nodeFileSystem.list(directory);
  }

  async rename(from: string, to: string): Promise<void> {
    this.check('rename', to);
    await nodeFileSystem.rename(from, to);
  }

  async link(existing: string, name: string): Promise<void> {
    this.check('link', name);
    await nodeFileSystem.link(existing, name);
  }

  async remove(path: string): Promise<void> {
    this.check('remove', path);
    await nodeFileSystem.remove(path);
  }

  async makeDirectory(path: string): Promise<void> {
    this.check('makeDirectory', path);
    await nodeFileSystem.makeDirectory(path);
  }

  async syncDirectory(path: string): Promise<void> {
    // Recorded, not done: these tests end no machine, and run on busy disks.
    this.check('syncDirectory', path);
  }

  identity(path: string): Promise<string | null> {
    return nodeFileSystem.identity(path);
  }

  check(operation: Operation, path: string): Fault | null {
    const call = { operation, name: basename(path) };
    const fault = this.fault(call, this.calls.length);
    this.calls.push(call);
    if (fault === null || fault === 'short') return fault;
    throw Object.assign(new Error(`${fault}: injected`), { code: fault });
  }

  #wrap(file: AuditFile, path: string): AuditFile {
    return {
      write: async (bytes, offset) => {
        const fault = this.check('write', path);
        const part = fault === 'short' ? bytes.subarray(0, Math.ceil(bytes.length / 2)) : bytes;
        return file.write(part, offset);
      },
      read: (target, offset) => file.read(target, offset),
      size: () => file.size(),
      truncate: async (length) => {
        this.check('truncate', path);
        await file.truncate(length);
      },
      sync: async () => {
        this.check('sync', path);
      },
      identity: () => file.identity(),
      close: () => file.close(),
    };
  }
}
