import type { FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { checkLabel, invalidInput } from '../../base/index.js';
import { checkPath, isMissing, OpenFile, openToRead } from './open-file.js';
import { movedMeanwhile, OpenFolder } from './open-folder.js';

/** The file that a model starts from, and the folder that it lies in, both held open. */
export class ModelEntry {
  readonly file: OpenFile;
  readonly name: string;
  #folder: OpenFolder | null;

  private constructor(file: OpenFile, name: string, folder: OpenFolder | null) {
    this.file = file;
    this.name = name;
    this.#folder = folder;
  }

  /**
   * Opens a path once. It is a file, or a folder, from whose names `choose` picks one.
   * Errors: INVALID_INPUT for what is missing, unreadable, or neither; those of `choose`.
   */
  static async open(path: string, choose: (names: readonly string[]) => string): Promise<ModelEntry> {
    const absolute = checkPath(path);
    const handle = await openExisting(absolute, path);
    if (await isFolder(handle)) return await ModelEntry.#inFolder(handle, absolute, choose);
    const file = await OpenFile.of(handle, absolute, path);
    try {
      return new ModelEntry(file, checkLabel('path', basename(absolute)), null);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  static async #inFolder(
    handle: FileHandle,
    path: string,
    choose: (names: readonly string[]) => string,
  ): Promise<ModelEntry> {
    const folder = await OpenFolder.of(handle, path);
    try {
      const name = checkLabel('path', choose(await folder.names()));
      return new ModelEntry(await folder.open(name), name, folder);
    } catch (error) {
      await folder.close();
      throw error;
    }
  }

  /** The folder of the file. Errors: INVALID_INPUT; SOURCE_MISMATCH if it holds another file of that name by now. */
  async folder(): Promise<OpenFolder> {
    if (this.#folder !== null) return this.#folder;
    const folder = await OpenFolder.open(dirname(this.file.path));
    this.#folder = folder;
    if (!(await folder.isNamed(this.file, this.name))) throw movedMeanwhile(this.name);
    return folder;
  }

  async close(): Promise<void> {
    try {
      await this.file.close();
    } finally {
      await this.#folder?.close();
    }
  }
}

async function openExisting(at: string, shown: string): Promise<FileHandle> {
  try {
    return await openToRead(at, shown);
  } catch (error) {
    if (isMissing(error)) throw invalidInput('path', 'names nothing that exists', error);
    throw error;
  }
}

async function isFolder(handle: FileHandle): Promise<boolean> {
  try {
    return (await handle.stat()).isDirectory();
  } catch (error) {
    await handle.close();
    throw error;
  }
}
