import type { Source, SourceCallOptions, StreamOptions } from '../source/index.js';
import { fileCall, isDomError } from './file-system.js';

/** Why bytes that came through were not stored: no room for them, or a file system that refused or did not answer. */
export type NotStored = 'full' | 'failed';

/** Where the bytes go. */
export interface StoredFile {
  /** A file that the browser swaps in when it is closed. */
  open(): Promise<FileSystemWritableFileStream>;
  /** Removes what opening left in its place. */
  remove(): Promise<unknown>;
}

/** Small network chunks go to the file system together. */
const WRITE_BYTES = 1_048_576;

/**
 * A source that stores what it gives on its way. A failure to store ends the storing, never the reading. Nothing is
 * there for others until commit(): the browser writes to a file aside and swaps it in.
 */
export class StoringSource implements Source {
  readonly byteLength: number;
  readonly label: string;
  readonly readRange?: (offset: number, length: number, options?: SourceCallOptions) => Promise<Uint8Array>;
  readonly #inner: Source;
  readonly #buffer = new Uint8Array(WRITE_BYTES);
  #filled = 0;
  #storedBytes = 0;
  #storage: StoredFile | null;
  #file: FileSystemWritableFileStream | null = null;
  #failure: NotStored | null;

  /** `storage`: null if there is no room. */
  constructor(inner: Source, storage: StoredFile | null) {
    this.#inner = inner;
    this.#storage = storage;
    this.#failure = storage === null ? 'full' : null;
    this.byteLength = inner.byteLength;
    this.label = inner.label;
    const { readRange } = inner;
    if (readRange !== undefined) this.readRange = readRange.bind(inner);
  }

  async *stream(options: StreamOptions): AsyncIterable<Uint8Array> {
    for await (const chunk of this.#inner.stream(options)) {
      await this.#store(chunk);
      yield chunk;
    }
  }

  unchanged(options?: SourceCallOptions): Promise<void> {
    return this.#inner.unchanged(options);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  /** Puts the file where others find it. Null if all bytes are in it, else why they are not. */
  async commit(): Promise<NotStored | null> {
    await this.#attempt(async () => {
      await this.#flush();
      if (this.#storedBytes !== this.byteLength) throw new Error('the source was not read to its end');
      await fileCall(async () => this.#file?.close());
      this.#file = null;
      this.#storage = null;
    });
    return this.#failure;
  }

  /** Leaves nothing of it behind; does nothing after a commit. Never rejects. */
  async discard(): Promise<void> {
    const file = this.#file;
    const storage = this.#storage;
    this.#file = null;
    this.#storage = null;
    if (storage === null || this.#storedBytes + this.#filled === 0) return;
    // What cannot be dropped now is a file without a byte, which counts as none; what was written was never swapped in.
    await Promise.allSettled([fileCall(async () => file?.abort())]);
    await Promise.allSettled([storage.remove()]);
  }

  async #store(chunk: Uint8Array): Promise<void> {
    await this.#attempt(async () => {
      for (let at = 0; at < chunk.length; ) {
        const end = Math.min(at + WRITE_BYTES - this.#filled, chunk.length);
        this.#buffer.set(chunk.subarray(at, end), this.#filled);
        this.#filled += end - at;
        at = end;
        if (this.#filled === WRITE_BYTES) await this.#flush();
      }
    });
  }

  async #flush(): Promise<void> {
    const file = this.#file ?? (await this.#storage?.open()) ?? null;
    this.#file = file;
    if (file === null) throw new Error('the file was discarded');
    await fileCall(() => file.write(this.#buffer.subarray(0, this.#filled)));
    this.#storedBytes += this.#filled;
    this.#filled = 0;
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    if (this.#failure !== null) return;
    try {
      await work();
    } catch (error) {
      this.#failure = isDomError(error, 'QuotaExceededError') ? 'full' : 'failed';
      await this.discard();
    }
  }
}
