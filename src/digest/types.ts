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

/** How a file is hashed. */
export interface HashFileOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of bytes hashed so far. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
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
   * the file changed meanwhile is for the caller to find out. Absent where the engine cannot do so. Errors: those of `read`,
   * ABORTED.
   */
  hashFile?(request: DigestRequest, read: ReadNatively, options?: HashFileOptions): Promise<HostDigest>;
  /** Stops worker threads, if any were started. */
  close(): Promise<void>;
}
