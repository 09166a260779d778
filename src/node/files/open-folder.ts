import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir, readlink, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { invalidInput, VramError } from '../../base/index.js';
import { OpenFile } from './open-file.js';

/** Linux: a descriptor that names a folder and needs no permission to list it. Node has no constant for it. */
const O_PATH = process.platform === 'linux' ? 0o10_000_000 : 0;
const FOLDER_FLAGS = constants.O_RDONLY | (constants.O_DIRECTORY ?? 0) | O_PATH;

/**
 * A folder held open: its files are looked up from its descriptor, so that they belong to this folder even if its name
 * changes. Where the system has no `/proc/self/fd` (macOS, Windows) they are looked up from its real path.
 */
export class OpenFolder {
  /** Absolute, as it was named. */
  readonly path: string;
  readonly #handle: FileHandle | null;
  /** The prefix of an entry's path. */
  readonly #base: string;

  private constructor(path: string, handle: FileHandle | null, base: string) {
    this.path = path;
    this.#handle = handle;
    this.#base = base;
  }

  /** Opens the folder that has this absolute path; links in it are followed. Errors: INVALID_INPUT. */
  static async open(path: string): Promise<OpenFolder> {
    try {
      return await OpenFolder.#at(path, path, 0);
    } catch (cause) {
      throw invalidInput('path', `lies in a folder that cannot be opened: ${JSON.stringify(path)}`, cause);
    }
  }

  /** Takes over the handle of a folder. */
  static async of(handle: FileHandle, path: string): Promise<OpenFolder> {
    return new OpenFolder(path, handle, await baseOf(handle, path));
  }

  static async #at(at: string, path: string, flags: number): Promise<OpenFolder> {
    // Windows has no path that leads through an open folder, so a handle would be of no use.
    if (process.platform === 'win32') return new OpenFolder(path, null, await realpath(at));
    const handle = await open(at, FOLDER_FLAGS | flags);
    try {
      return await OpenFolder.of(handle, path);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Names of its entries other than folders. */
  async names(): Promise<string[]> {
    const entries = await readdir(this.#base, { withFileTypes: true });
    return entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name);
  }

  /** Opens one of its files, wherever links lead. Errors: those of fileSource(). */
  async open(file: string): Promise<OpenFile> {
    const path = join(this.path, file);
    return await OpenFile.open(this.#entry(file), path, path);
  }

  /** Whether that name still leads to this file, also through links. */
  async isNamed(file: OpenFile, name: string): Promise<boolean> {
    try {
      return file.is(await stat(this.#entry(name), { bigint: true }));
    } catch (error) {
      if (isSystemError(error)) return false;
      throw error;
    }
  }

  /** Its location, from its descriptor. */
  async realPath(): Promise<string> {
    return await (this.#handle === null ? realpath(this.#base) : placeOf(this.#handle.fd, this.#base));
  }

  /** Location of a file that was opened as `name`: from its descriptor, not the name, where the system can. */
  async realPathOf(file: OpenFile, name: string): Promise<string> {
    return await placeOf(file.descriptor, this.#entry(name));
  }

  /**
   * Whether `file` is the one below this folder at `parts`, reached without a link. Folders on the way may be `..`:
   * physical parents. Each one is opened from the one before, so that a switched link has no effect.
   */
  async holds(file: OpenFile, parts: readonly string[]): Promise<boolean> {
    const [part, ...rest] = parts;
    if (part === undefined) return false;
    try {
      const found = await lstat(this.#entry(part), { bigint: true });
      if (rest.length === 0) return file.is(found);
      if (!found.isDirectory()) return false;
      const folder = await OpenFolder.#at(
        this.#entry(part),
        join(this.path, part),
        constants.O_NOFOLLOW ?? 0,
      );
      try {
        return await folder.holds(file, rest);
      } finally {
        await folder.close();
      }
    } catch (error) {
      // A folder that was removed or became a link does not hold it.
      if (isSystemError(error)) return false;
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#handle?.close();
  }

  /** Joined by hand: the system must resolve each `..` itself. */
  #entry(name: string): string {
    return `${this.#base}/${name}`;
  }
}

/** SOURCE_MISMATCH for a file that is not where it was a moment ago. */
export function movedMeanwhile(file: string): VramError {
  return new VramError(
    'SOURCE_MISMATCH',
    `the file ${JSON.stringify(file)} was moved or replaced while it was opened; try again when it no longer changes`,
  );
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'code' in error;
}

/**
 * Linux resolves names below this path from the descriptor itself, also through `/proc/PID/root` and in other mount
 * namespaces.
 */
function descriptorPath(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`;
}

async function baseOf(handle: FileHandle, path: string): Promise<string> {
  const base = descriptorPath(handle.fd);
  try {
    await readlink(base);
    return base;
  } catch {
    return await realpath(path);
  }
}

/** The location of an open file or folder; `name` where the system cannot derive it from a descriptor. */
export async function placeOf(descriptor: number, name: string): Promise<string> {
  try {
    return await readlink(descriptorPath(descriptor));
  } catch {
    return await realpath(name);
  }
}
