import { throwIfAborted } from '../../base/index.js';
import {
  BLOCK_BYTES,
  checkRequest,
  type DigestRequest,
  HASH_BYTES,
  type HashFileOptions,
  type HostDigest,
  hostDigest,
  type ReadNatively,
  TreeAccumulator,
} from '../../digest/index.js';
import type { HashThread, HashThreads } from './hash-threads.js';
import type { NativeHasher } from './native-hasher.js';
import { blockHasher, sha256 } from './node-hashes.js';
import { nextStream } from './threaded-stream.js';

/** Read and hashed between two checks of the signal; small enough that a slow disk gives one before its time limit. */
const WINDOW_BYTES = 4 * 1024 * 1024;
/** Under way at a time: two for the threads, one that they can go on with. */
const WINDOWS = 3;

interface Window {
  /** Byte of the file behind the window. */
  readonly end: number;
  readonly hashes: Uint8Array;
  /** What `hashes` is a part of. */
  readonly buffer: Uint8Array;
  /** Of the whole file, with its last window, if it was requested. */
  readonly flat: Uint8Array | null;
}

/**
 * One pass over a file. The addon's threads read and hash the blocks; one of the workers reads the file as well, if the flat
 * SHA-256 is requested.
 */
export class FileHash {
  readonly #request: DigestRequest;
  readonly #read: ReadNatively;
  readonly #native: NativeHasher;
  readonly #threads: HashThreads;
  readonly #id = nextStream();
  #flatThread: HashThread | null = null;

  constructor(request: DigestRequest, read: ReadNatively, native: NativeHasher, threads: HashThreads) {
    this.#request = checkRequest(request);
    this.#read = read;
    this.#native = native;
    this.#threads = threads;
  }

  async run({ signal, onBytes }: HashFileOptions): Promise<HostDigest> {
    const { byteLength, keep } = this.#request;
    const tree = new TreeAccumulator(byteLength, keep, blockHasher(this.#native));
    // Of no bytes there is no window.
    let flat = this.#request.sha256 ? sha256(new Uint8Array(0)) : null;
    const underWay: Promise<Window | { readonly error: unknown }>[] = [];
    const start = (offset: number, buffer: Uint8Array): void => {
      if (offset >= byteLength) return;
      // A failure is reported when its turn comes: the window before it may fail first.
      underWay.push(this.#hashWindow(offset, buffer).catch((error: unknown) => ({ error })));
    };
    for (let window = 0; window < WINDOWS; window++)
      start(window * WINDOW_BYTES, new Uint8Array((WINDOW_BYTES / BLOCK_BYTES) * HASH_BYTES));
    try {
      for (let window = await underWay.shift(); window !== undefined; window = await underWay.shift()) {
        if ('error' in window) throw window.error;
        throwIfAborted(signal);
        tree.addLeaves(window.hashes);
        flat = window.flat ?? flat;
        start(window.end + (WINDOWS - 1) * WINDOW_BYTES, window.buffer);
        onBytes?.(window.end);
      }
    } finally {
      // Threads write to the buffers until these have settled.
      await Promise.all(underWay);
      this.#flatThread?.drop(this.#id);
    }
    return await hostDigest(byteLength, flat, tree.finish(), async (bytes) => sha256(bytes));
  }

  async #hashWindow(offset: number, buffer: Uint8Array): Promise<Window> {
    const { byteLength } = this.#request;
    const length = Math.min(WINDOW_BYTES, byteLength - offset);
    const end = offset + length;
    const hashes = buffer.subarray(0, Math.ceil(length / BLOCK_BYTES) * HASH_BYTES);
    const leaves = this.#read(offset, length, (descriptor) =>
      this.#native.hashFile(descriptor, offset, length, hashes),
    );
    const flat = this.#request.sha256 ? this.#hashFlat(offset, length, end === byteLength) : null;
    // Both are waited for. Of a file that ended early the leaves know where.
    const [leavesEnded, flatEnded] = await Promise.allSettled([leaves, flat]);
    if (leavesEnded.status === 'rejected') throw leavesEnded.reason;
    if (flatEnded.status === 'rejected') throw flatEnded.reason;
    return { end, hashes, buffer, flat: flatEnded.value };
  }

  async #hashFlat(offset: number, length: number, last: boolean): Promise<Uint8Array | null> {
    this.#flatThread ??= this.#threads.leastBusy();
    const thread = this.#flatThread;
    let flat: Uint8Array | null = null;
    await this.#read(offset, length, async (descriptor) => {
      flat = await thread.run({ kind: 'flat-file', stream: this.#id, descriptor, offset, length, last });
      return length;
    });
    return flat;
  }
}
