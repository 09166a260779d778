/** Bytes hashed as one leaf, healed as one unit. */
export const BLOCK_BYTES = 4096;
/** Bytes of one SHA-256 hash. */
export const HASH_BYTES = 32;
/** Hashes packed into one block of the next level. */
export const HASHES_PER_BLOCK = BLOCK_BYTES / HASH_BYTES;
/** Bytes under one level-1 node: 128 blocks, 512 KiB. */
export const GROUP_BYTES = BLOCK_BYTES * HASHES_PER_BLOCK;

/** `hash-wasm` serves where WebAssembly has no SIMD. */
export type EngineName = 'native' | 'wasm' | 'hash-wasm';

/** The most bytes of a file that native code is asked to read at a time. */
export const FILE_WINDOW_BYTES = 4 * 1024 * 1024;

/** Which hashes of the tree are handed out at the end: the root alone, level 1 (groups), or level 0 (leaves) as well. */
export type KeepLevel = 'root' | 'groups' | 'leaves';

/** What is to be hashed, and which hashes are to come of it. */
export interface DigestRequest {
  /** Total number of bytes; a stream of another length is refused. */
  readonly byteLength: number;
  /** Also compute the flat SHA-256 (serial, so it bounds the speed). */
  readonly sha256: boolean;
  readonly keep: KeepLevel;
}

export interface HostDigest {
  readonly byteLength: number;
  /** 64 lowercase hex digits, or null if it was not requested. */
  readonly sha256: string | null;
  /** `fsverity-sha256-12:<64 hex>`. */
  readonly fsverity: string;
  /** 32 bytes; all zero for empty data. */
  readonly root: Uint8Array;
  /**
   * Nodes of level 1, 32 bytes each, one for every started 512 KiB; null unless retained. Data of one block has no level 1:
   * its only leaf, which is the root, stands in.
   */
  readonly groups: Uint8Array | null;
  /** Leaves, 32 bytes each, one for every started 4096 bytes; null unless retained. */
  readonly leaves: Uint8Array | null;
}

/** One pass over a byte sequence, in order. */
export interface DigestStream {
  /** Resolves when `chunk` may be reused; earlier work may still be under way. */
  update(chunk: Uint8Array): Promise<void>;
  /** Errors: SOURCE_MISMATCH if more or fewer bytes came than were announced. */
  finish(): Promise<HostDigest>;
  /** Gives up; frees what the stream holds. Safe to call twice and after finish. */
  abort(): void;
}

/**
 * Has native code read the `length` bytes at `offset` of a file: `native` gets the file's descriptor, and resolves to how
 * many of them are there. Errors: SOURCE_MISMATCH if some are missing, INVALID_INPUT if they cannot be read.
 */
export type ReadNatively = (
  offset: number,
  length: number,
  native: (descriptor: number) => Promise<number>,
) => Promise<void>;

/** Memory that native code copies a file's bytes to. Opaque. Its owner can withdraw it at any time. */
export interface NativeSink {
  /** Never set: it sets the type apart. */
  readonly kind?: 'native sink';
}

/**
 * Lends memory for `length` bytes at `offset`, at most FILE_WINDOW_BYTES, for as long as `fill` runs. Resolves once the
 * bytes are on their way. If `fill` rejects, the memory is withdrawn at once, also from threads that have not returned.
 */
export type FillNatively = (
  offset: number,
  length: number,
  fill: (sink: NativeSink) => Promise<void>,
) => Promise<void>;

/** How a file is read by native code. */
export interface ReadFileOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of bytes read so far. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** How a file is hashed. */
export interface HashFileOptions extends ReadFileOptions {
  /** Also receives the bytes, as they are hashed. */
  readonly copyTo?: FillNatively | undefined;
}

/** Hashing on the host. All engines give the same answers. */
export interface DigestEngine {
  readonly name: EngineName;
  /** Begins to hash bytes that are fed in order. */
  start(request: DigestRequest): DigestStream;
  /** Leaf hashes of consecutive blocks, 32 bytes each; a last partial block is zero-padded. */
  leaves(bytes: Uint8Array): Promise<Uint8Array>;
  /** Nodes over packed hashes of the level below, 32 bytes each; a last partial block is zero-padded. */
  nodes(hashes: Uint8Array): Promise<Uint8Array>;
  /** Flat SHA-256, 32 bytes. */
  sha256(bytes: Uint8Array): Promise<Uint8Array>;
  /**
   * Leaf hashes of whole blocks into `out`, 32 bytes each, in threads and without a copy: until it settles nobody may
   * change, detach or resize either. For memory that no caller holds. Absent where the engine cannot do so.
   */
  hashResident?(blocks: Uint8Array, out: Uint8Array): Promise<void>;
  /**
   * The digest of a whole file that the engine's threads read themselves: no byte of it passes through JavaScript. Whether
   * the file changed meanwhile is for the caller to find out. Absent where the engine cannot do so. Errors: those of `read`
   * and of `copyTo`, ABORTED.
   */
  hashFile?(request: DigestRequest, read: ReadNatively, options?: HashFileOptions): Promise<HostDigest>;
  /** The same without hashing: the bytes are only copied. Present with `hashFile`. */
  copyFile?(
    byteLength: number,
    read: ReadNatively,
    copyTo: FillNatively,
    options?: ReadFileOptions,
  ): Promise<void>;
  /** Stops worker threads, if any were started. */
  close(): Promise<void>;
}
