import type { ReadNatively } from '../digest/index.js';

/** How a source is read. */
export interface StreamOptions {
  readonly signal?: AbortSignal | undefined;
  /** Upper bound on a chunk's size, in bytes. */
  readonly chunkBytes: number;
  /** To be called when bytes were read that no chunk delivers: it shows that the source has not stalled. */
  readonly onRead?: (() => void) | undefined;
}

/** Given to every call of a source. */
export interface SourceCallOptions {
  /** Fires when the result is no longer needed. */
  readonly signal?: AbortSignal | undefined;
}

/** Where weights come from. The manager bounds every call: see `stallMs` of its options. */
export interface Source {
  readonly byteLength: number;
  /** Shown to people: a file name, "bytes". Never a secret. */
  readonly label: string;
  /** A chunk is valid until the next one is asked for. The next one may be read ahead meanwhile. */
  stream(options: StreamOptions): AsyncIterable<Uint8Array>;
  /** For healing. Absent = cannot heal from it. */
  readRange?(offset: number, length: number, options?: SourceCallOptions): Promise<Uint8Array>;
  /** For engines that read files themselves. Absent for what is not a file. */
  readonly readNatively?: ReadNatively;
  /** Throws SOURCE_MISMATCH if the source is no longer what was opened. */
  unchanged(options?: SourceCallOptions): Promise<void>;
  /** Gives up what it holds open. Safe to call twice. */
  close(): Promise<void>;
}
