import { checkBytes } from '../../base/index.js';
import {
  type BlockHasher,
  checkHashes,
  checkRequest,
  type DigestEngine,
  type DigestRequest,
  type DigestStream,
  hashPadded,
  type SerialHashes,
  SerialStream,
} from '../../digest/index.js';
import { copyFile } from './file-copy.js';
import { FileHash } from './file-hash.js';
import { HashThreads } from './hash-threads.js';
import { HASH_THREADS, type NativeHasher } from './native-hasher.js';
import { blockHasher, flatHash, sha256 } from './node-hashes.js';
import { IdleSlabs } from './slabs.js';
import { ThreadedStream } from './threaded-stream.js';

/** Smaller inputs are hashed faster than a thread starts. */
const THREADED_BYTES = 4 * 1024 * 1024;

/** Hashed faster than a thread wakes up: some 50 microseconds. Every run of a tree hashes a canary of one block. */
const AT_ONCE_BYTES = 128 * 1024;

/**
 * Hashes with the addon's hasher where there is one, else with node:crypto; big inputs in threads: the addon's, or up to
 * four workers, which start on first use. The flat SHA-256 is always node:crypto's.
 */
export class NativeEngine implements DigestEngine {
  readonly name = 'native';
  readonly hashResident?: (blocks: Uint8Array, out: Uint8Array) => Promise<void>;
  readonly hashFile?: NonNullable<DigestEngine['hashFile']>;
  readonly copyFile?: NonNullable<DigestEngine['copyFile']>;
  readonly #native: NativeHasher | null;
  readonly #hashBlocks: BlockHasher;
  readonly #threads = new HashThreads();
  readonly #idle = new IdleSlabs();

  constructor(native: NativeHasher | null) {
    this.#native = native;
    this.#hashBlocks = blockHasher(native);
    if (native === null) return;
    this.hashResident = (blocks, out) => hashInThreads(native, blocks, out);
    this.hashFile = (request, read, options = {}) =>
      new FileHash(request, read, native, this.#threads).run(options);
    this.copyFile = (byteLength, read, copyTo, options = {}) =>
      copyFile(native, byteLength, { read, copyTo }, options);
  }

  start(request: DigestRequest): DigestStream {
    const { byteLength } = checkRequest(request);
    if (byteLength < THREADED_BYTES) return new SerialStream(request, (flat) => this.#openSerial(flat));
    return new ThreadedStream(request, this.#threads, this.#idle, this.#native);
  }

  async leaves(bytes: Uint8Array): Promise<Uint8Array> {
    checkBytes('bytes', bytes);
    if (bytes.length < THREADED_BYTES) return hashPadded(bytes, this.#hashBlocks);
    const stream = this.start({ byteLength: bytes.length, sha256: false, keep: 'leaves' });
    await stream.update(bytes);
    const { leaves } = await stream.finish();
    return leaves ?? new Uint8Array();
  }

  async nodes(hashes: Uint8Array): Promise<Uint8Array> {
    return this.leaves(checkHashes(hashes));
  }

  async sha256(bytes: Uint8Array): Promise<Uint8Array> {
    return sha256(checkBytes('bytes', bytes));
  }

  /** Stops the threads; streams in progress fail with ABORTED. A later big input starts them again. */
  async close(): Promise<void> {
    this.#idle.clear();
    await this.#threads.close();
  }

  async #openSerial(flat: boolean): Promise<SerialHashes> {
    return {
      flat: flat ? flatHash() : null,
      hashBlocks: this.#hashBlocks,
      sha256: async (bytes) => sha256(bytes),
    };
  }
}

async function hashInThreads(native: NativeHasher, blocks: Uint8Array, out: Uint8Array): Promise<void> {
  if (blocks.length <= AT_ONCE_BYTES) native.hash(blocks, out);
  else await native.hashAsync(blocks, out, HASH_THREADS);
}
