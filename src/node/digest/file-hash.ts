import {
  BLOCK_BYTES,
  checkRequest,
  type DigestRequest,
  FILE_WINDOW_BYTES,
  type FillNatively,
  HASH_BYTES,
  type HashFileOptions,
  type HostDigest,
  hostDigest,
  type NativeSink,
  type ReadNatively,
  TreeAccumulator,
} from '../../digest/index.js';
import { eachWindow, type FileWindow, WINDOWS } from './file-windows.js';
import type { HashThread, HashThreads } from './hash-threads.js';
import type { NativeHasher } from './native-hasher.js';
import { blockHasher, sha256 } from './node-hashes.js';
import { nextStream } from './threaded-stream.js';

interface HashedWindow {
  readonly hashes: Uint8Array;
  /** Of the whole file, with its last window, if it was requested. */
  readonly flat: Uint8Array | null;
}

/**
 * One pass over a file. The addon's threads read, hash and copy the blocks; one of the workers also reads the file if the
 * flat SHA-256 is requested.
 */
export class FileHash {
  readonly #request: DigestRequest;
  readonly #read: ReadNatively;
  readonly #native: NativeHasher;
  readonly #threads: HashThreads;
  readonly #id = nextStream();
  readonly #buffers = Array.from(
    { length: WINDOWS },
    () => new Uint8Array((FILE_WINDOW_BYTES / BLOCK_BYTES) * HASH_BYTES),
  );
  #flatThread: HashThread | null = null;

  constructor(request: DigestRequest, read: ReadNatively, native: NativeHasher, threads: HashThreads) {
    this.#request = checkRequest(request);
    this.#read = read;
    this.#native = native;
    this.#threads = threads;
  }

  async run({ copyTo, ...options }: HashFileOptions): Promise<HostDigest> {
    const { byteLength, keep } = this.#request;
    const tree = new TreeAccumulator(byteLength, keep, blockHasher(this.#native));
    // An empty file has no window.
    let flat = this.#request.sha256 ? sha256(new Uint8Array(0)) : null;
    try {
      await eachWindow(
        byteLength,
        (window) => this.#hashWindow(window, copyTo),
        (hashed) => {
          tree.addLeaves(hashed.hashes);
          flat = hashed.flat ?? flat;
        },
        options,
      );
    } finally {
      this.#flatThread?.drop(this.#id);
    }
    return await hostDigest(byteLength, flat, tree.finish(), async (bytes) => sha256(bytes));
  }

  async #hashWindow(window: FileWindow, copyTo: FillNatively | undefined): Promise<HashedWindow> {
    const { offset, length, slot } = window;
    const buffer = this.#buffers[slot] ?? new Uint8Array();
    const hashes = buffer.subarray(0, Math.ceil(length / BLOCK_BYTES) * HASH_BYTES);
    const hash = (sink?: NativeSink): Promise<void> =>
      this.#read(offset, length, (descriptor) =>
        this.#native.hashFile(descriptor, offset, length, hashes, sink),
      );
    const leaves = copyTo === undefined ? hash() : copyTo(offset, length, hash);
    const flat = this.#request.sha256 ? this.#hashFlat(window) : null;
    // Waits for both. If the file ended early, the leaves report where.
    const [leavesEnded, flatEnded] = await Promise.allSettled([leaves, flat]);
    if (leavesEnded.status === 'rejected') throw leavesEnded.reason;
    if (flatEnded.status === 'rejected') throw flatEnded.reason;
    return { hashes, flat: flatEnded.value };
  }

  async #hashFlat({ offset, length, end }: FileWindow): Promise<Uint8Array | null> {
    this.#flatThread ??= this.#threads.leastBusy();
    const thread = this.#flatThread;
    const last = end === this.#request.byteLength;
    let flat: Uint8Array | null = null;
    await this.#read(offset, length, async (descriptor) => {
      flat = await thread.run({ kind: 'flat-file', stream: this.#id, descriptor, offset, length, last });
      return length;
    });
    return flat;
  }
}
