import {
  AnnouncedLength,
  BLOCK_BYTES,
  type DigestRequest,
  type DigestStream,
  HASH_BYTES,
  type HostDigest,
  hostDigest,
  TreeAccumulator,
} from '../../digest/index.js';
import type { HashThread, HashThreads } from './hash-threads.js';
import type { NativeHasher } from './native-hasher.js';
import { blockHasher, sha256 } from './node-hashes.js';
import { type IdleSlabs, SLAB_BYTES, SLABS_PER_STREAM, type Slab } from './slabs.js';

let streams = 0;

/** The id of the next flat hash in the threads. */
export function nextStream(): number {
  return streams++;
}

/**
 * Hashes in threads. Chunks are copied into a bounded ring of shared slabs, so that the caller may reuse them; the flat
 * SHA-256 stays with one worker, leaf hashes go to the addon's threads or to any free worker, and come back in
 * order. Needs at least one byte.
 */
export class ThreadedStream implements DigestStream {
  readonly #request: DigestRequest;
  readonly #announced: AnnouncedLength;
  readonly #threads: HashThreads;
  readonly #idle: IdleSlabs;
  readonly #native: NativeHasher | null;
  readonly #tree: TreeAccumulator;
  readonly #id = nextStream();
  #flatThread: HashThread | null = null;
  #flat: Uint8Array | null = null;
  #dispatchedBytes = 0;
  #current: Slab | null = null;
  /** Slabs at the threads, oldest first; each promise also does the work of its turn. */
  readonly #underway: Promise<void>[] = [];
  #calls: Promise<void> = Promise.resolve();

  /** `request` has been checked. */
  constructor(request: DigestRequest, threads: HashThreads, idle: IdleSlabs, native: NativeHasher | null) {
    this.#request = request;
    this.#announced = new AnnouncedLength(request.byteLength);
    this.#threads = threads;
    this.#idle = idle;
    this.#native = native;
    this.#tree = new TreeAccumulator(request.byteLength, request.keep, blockHasher(native));
  }

  async update(chunk: Uint8Array): Promise<void> {
    await this.#orAbort(async () => {
      this.#announced.add(chunk);
      await this.#inOrder(() => this.#copy(chunk));
    });
  }

  async finish(): Promise<HostDigest> {
    await this.#orAbort(async () => {
      this.#announced.end();
      await this.#inOrder(async () => {
        if (this.#current !== null) this.#dispatch(this.#current);
        await Promise.all(this.#underway);
      });
    });
    this.#announced.checkNotAborted();
    const tree = this.#tree.finish();
    return hostDigest(this.#request.byteLength, this.#flat, tree, async (bytes) => sha256(bytes));
  }

  abort(): void {
    this.#announced.abort();
    this.#flatThread?.drop(this.#id);
    this.#flatThread = null;
    // Threads may still be reading slabs in progress; those are not reused.
    this.#current = null;
  }

  /** A stream that failed holds nothing. */
  async #orAbort(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.abort();
      throw error;
    }
  }

  /** Serialises calls, even if the caller did not await them. */
  #inOrder(work: () => Promise<void>): Promise<void> {
    this.#calls = this.#calls.then(work);
    return this.#calls;
  }

  async #copy(chunk: Uint8Array): Promise<void> {
    for (let offset = 0; offset < chunk.length; ) {
      this.#announced.checkNotAborted();
      this.#current ??= await this.#freeSlab();
      const slab = this.#current;
      const end = Math.min(offset + SLAB_BYTES - slab.filled, chunk.length);
      slab.data.set(chunk.subarray(offset, end), slab.filled);
      slab.filled += end - offset;
      offset = end;
      if (slab.filled === SLAB_BYTES) this.#dispatch(slab);
    }
  }

  async #freeSlab(): Promise<Slab> {
    if (this.#underway.length >= SLABS_PER_STREAM) await this.#underway[0];
    this.#announced.checkNotAborted();
    return this.#idle.take();
  }

  #dispatch(slab: Slab): void {
    this.#current = null;
    this.#dispatchedBytes += slab.filled;
    const last = this.#dispatchedBytes === this.#request.byteLength;
    const flat = this.#request.sha256 ? this.#runFlat(slab, last) : null;
    const leaves = this.#runLeaves(slab);
    const before = this.#underway.at(-1);
    const turn = Promise.all([leaves, flat, before]).then(([hashes, digest]) => {
      // Its own entry: turns end in order.
      void this.#underway.shift();
      if (this.#announced.aborted) return;
      this.#tree.addLeaves(hashes);
      this.#flat = digest;
      this.#idle.putBack(slab);
    });
    // A failure is reported by the next call that waits for this slab or a later one.
    turn.catch(() => undefined);
    this.#underway.push(turn);
  }

  #runFlat(slab: Slab, last: boolean): Promise<Uint8Array | null> {
    this.#flatThread ??= this.#threads.leastBusy();
    const data = slab.data.subarray(0, slab.filled);
    return this.#flatThread.run({ kind: 'flat', stream: this.#id, data, last });
  }

  async #runLeaves(slab: Slab): Promise<Uint8Array> {
    const blocks = Math.ceil(slab.filled / BLOCK_BYTES);
    slab.data.fill(0, slab.filled, blocks * BLOCK_BYTES);
    const out = slab.hashes.subarray(0, blocks * HASH_BYTES);
    const data = slab.data.subarray(0, blocks * BLOCK_BYTES);
    if (this.#native !== null) await this.#native.hashAsync(data, out);
    else {
      const thread = this.#threads.leastBusy();
      await thread.run({ kind: 'leaves', data, out, blockBytes: BLOCK_BYTES, hashBytes: HASH_BYTES });
    }
    return out;
  }
}
