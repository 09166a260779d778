import { checkDigest, formatDigest } from '../digest/index.js';
import type { Source } from '../source/index.js';
import { blobSource } from './blob-source.js';
import { fileCall, findFile, removeEntry } from './file-system.js';
import { withLock } from './locks.js';
import { StoringSource } from './storing-source.js';

/** A file in the cache. */
export interface CacheEntry {
  /** What the bytes had when they were stored, as `sha256:HEX` or `fsverity-sha256-12:HEX`. */
  readonly digest: string;
  readonly byteLength: number;
  /** Milliseconds since 1970. */
  readonly storedAt: number;
}

const NAME = /^(sha256|fsverity-sha256-12)-([0-9a-f]{64})$/;

/** The files of a cache, named after the digest that their content had when it was stored. */
export class CacheFolder {
  readonly #folder: FileSystemDirectoryHandle;
  readonly #maxBytes: number;

  constructor(folder: FileSystemDirectoryHandle, maxBytes: number) {
    this.#folder = folder;
    this.#maxBytes = maxBytes;
  }

  /** Oldest first. A file without a byte is one whose tab ended before it was stored. */
  async entries(): Promise<readonly CacheEntry[]> {
    const entries: CacheEntry[] = [];
    for await (const name of this.#folder.keys()) {
      const [, algorithm, hex] = NAME.exec(name) ?? [];
      const handle = algorithm === undefined ? null : await findFile(this.#folder, name);
      if (handle === null) continue;
      const { size, lastModified } = await fileCall(() => handle.getFile());
      if (size > 0) entries.push({ digest: `${algorithm}:${hex}`, byteLength: size, storedAt: lastModified });
    }
    return entries.sort((one, other) => one.storedAt - other.storedAt);
  }

  async source(digest: string): Promise<Source | null> {
    const handle = await findFile(this.#folder, fileName(digest));
    const file = handle === null ? null : await fileCall(() => handle.getFile());
    return file === null || file.size === 0 ? null : blobSource(file, 'cached weights');
  }

  /** Runs `work` with the entry locked against the origin's other tabs; see withLock. */
  use<T>(digest: string, mode: LockMode, work: (held: boolean) => Promise<T>): Promise<T> {
    return withLock(`vram-residency ${fileName(digest)}`, mode, work);
  }

  /** For who holds the lock. False where there is none. */
  remove(digest: string): Promise<boolean> {
    return removeEntry(this.#folder, fileName(digest));
  }

  /** Takes the lock for it. False where there is none, or another tab is using it. */
  delete(digest: string): Promise<boolean> {
    return this.use(digest, 'exclusive', async (held) => held && (await this.remove(digest)));
  }

  /** `source`, stored under `digest` while it is read. For who holds the lock. */
  async storing(digest: string, source: Source): Promise<StoringSource> {
    if (source.byteLength > this.#maxBytes) return new StoringSource(source, null);
    await this.#makeRoom(source.byteLength);
    const name = fileName(digest);
    return new StoringSource(source, {
      open: async () => {
        const handle = await fileCall(() => this.#folder.getFileHandle(name, { create: true }));
        return await fileCall(() => handle.createWritable());
      },
      remove: () => removeEntry(this.#folder, name),
    });
  }

  async #makeRoom(byteLength: number): Promise<void> {
    const entries = await this.entries();
    let total = entries.reduce((sum, entry) => sum + entry.byteLength, byteLength);
    for (const entry of entries) {
      if (total <= this.#maxBytes) return;
      if (await this.delete(entry.digest)) total -= entry.byteLength;
    }
  }
}

/** Names come from checked digests alone: nothing that a caller passes leads out of the folder. */
function fileName(digest: string): string {
  return formatDigest(checkDigest('digest', digest)).replace(':', '-');
}
