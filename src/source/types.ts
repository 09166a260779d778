export interface StreamOptions {
  readonly signal?: AbortSignal | undefined;
  /** Upper bound on a chunk's size, in bytes. */
  readonly chunkBytes: number;
}

/** Where weights come from. */
export interface Source {
  readonly byteLength: number;
  /** Shown to people: a file name, "bytes". Never a secret. */
  readonly label: string;
  /** A chunk is valid until the next one is asked for. The next one may be read ahead meanwhile. */
  stream(options: StreamOptions): AsyncIterable<Uint8Array>;
  /** For healing. Absent = cannot heal from it. */
  readRange?(offset: number, length: number): Promise<Uint8Array>;
  /** Throws SOURCE_MISMATCH if the source is no longer what was opened. */
  unchanged(): Promise<void>;
  close(): Promise<void>;
}
