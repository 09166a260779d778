import { checkBytes } from '../../base/index.js';
import {
  checkHashes,
  checkRequest,
  type DigestEngine,
  type DigestRequest,
  type DigestStream,
  hashPadded,
  type SerialHashes,
  SerialStream,
} from '../../digest/index.js';
import { HashThreads } from './hash-threads.js';
import { flatHash, hashBlocks, sha256 } from './node-hashes.js';
import { IdleSlabs } from './slabs.js';
import { ThreadedStream } from './threaded-stream.js';

/** Inputs below this are hashed sooner than a thread starts. */
export const THREADED_BYTES = 4 * 1024 * 1024;

async function openSerial(flat: boolean): Promise<SerialHashes> {
  return { flat: flat ? flatHash() : null, hashBlocks, sha256: async (bytes) => sha256(bytes) };
}

/** Hashes with node:crypto; inputs of 4 MiB and more in up to four worker threads, which start on first use. */
export class NativeEngine implements DigestEngine {
  readonly name = 'native';
  readonly #threads = new HashThreads();
  readonly #idle = new IdleSlabs();

  start(request: DigestRequest): DigestStream {
    const { byteLength } = checkRequest(request);
    if (byteLength < THREADED_BYTES) return new SerialStream(request, openSerial);
    return new ThreadedStream(request, this.#threads, this.#idle);
  }

  async leaves(bytes: Uint8Array): Promise<Uint8Array> {
    checkBytes('bytes', bytes);
    if (bytes.length < THREADED_BYTES) return hashPadded(bytes, hashBlocks);
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

  /** Stops the threads; streams under way fail with ABORTED. A later big input starts them again. */
  async close(): Promise<void> {
    this.#idle.clear();
    await this.#threads.close();
  }
}
