import {
  AnnouncedLength,
  BLOCK_BYTES,
  type DigestEngine,
  type DigestRequest,
  type DigestStream,
  GROUP_BYTES,
  HASH_BYTES,
  type HostDigest,
  hostDigest,
  treeLayout,
} from '../../digest/index.js';
import type { DigestAnswer } from './messages.js';
import { type DigestPool, SLAB_BYTES } from './pool.js';
import type { DigestWorker } from './worker.js';

/** Slabs at each worker before the caller has to wait: one being hashed, one to go on with. */
const SLABS_A_WORKER = 2;
const LEAVES_A_SLAB = SLAB_BYTES / BLOCK_BYTES;
const NODES_A_SLAB = SLAB_BYTES / GROUP_BYTES;

let nextStream = 0;

/**
 * Hashes in workers. Chunks are copied into slabs, which are transferred: no isolation headers are needed for that. The
 * flat SHA-256 stays with one worker, which gets a copy of its own. The page itself keeps level 1 of the tree, 32 bytes
 * for 512 KiB.
 */
export class WorkerStream implements DigestStream {
  readonly #request: DigestRequest;
  readonly #announced: AnnouncedLength;
  readonly #pool: DigestPool;
  /** Hashes what stands above level 1, and the descriptor. */
  readonly #upper: Pick<DigestEngine, 'nodes' | 'sha256'>;
  readonly #blocks: number;
  readonly #groups: Uint8Array;
  readonly #leaves: Uint8Array | null;
  readonly #id = nextStream++;
  #flatWorker: DigestWorker | null = null;
  #flat: Uint8Array | null = null;
  #firstLeaf: Uint8Array = new Uint8Array(HASH_BYTES);
  #current: Uint8Array<ArrayBuffer> | null = null;
  #filled = 0;
  #sentBytes = 0;
  /** Slabs at the workers, oldest first; each settles when its hashes are in their place. */
  readonly #underway: Promise<void>[] = [];
  #calls: Promise<void> = Promise.resolve();

  /** `request` has been checked. */
  constructor(request: DigestRequest, pool: DigestPool, upper: Pick<DigestEngine, 'nodes' | 'sha256'>) {
    const { blocks, levels } = treeLayout(request.byteLength);
    this.#request = request;
    this.#announced = new AnnouncedLength(request.byteLength);
    this.#pool = pool;
    this.#upper = upper;
    this.#blocks = blocks;
    this.#groups = new Uint8Array((levels[1]?.nodes ?? blocks) * HASH_BYTES);
    this.#leaves = request.keep === 'leaves' ? new Uint8Array(blocks * HASH_BYTES) : null;
  }

  async update(chunk: Uint8Array): Promise<void> {
    await this.#orAbort(async () => {
      this.#announced.add(chunk);
      await this.#inOrder(() => this.#copy(chunk));
    });
  }

  async finish(): Promise<HostDigest> {
    return await this.#orAbort(async () => {
      this.#announced.end();
      await this.#inOrder(async () => {
        if (this.#current !== null) this.#dispatch(this.#current);
        await Promise.all(this.#underway);
      });
      this.#announced.checkNotAborted();
      const { byteLength, keep, sha256 } = this.#request;
      // Nothing was sent of no bytes.
      const flat = sha256 ? (this.#flat ?? (await this.#upper.sha256(new Uint8Array(0)))) : null;
      const groups = keep === 'root' ? null : this.#groups;
      const tree = { root: await this.#root(), groups, leaves: this.#leaves };
      return await hostDigest(byteLength, flat, tree, (bytes) => this.#upper.sha256(bytes));
    });
  }

  abort(): void {
    this.#announced.abort();
    this.#flatWorker?.drop(this.#id);
    this.#flatWorker = null;
    this.#current = null;
  }

  async #root(): Promise<Uint8Array> {
    if (this.#blocks <= 1) return this.#firstLeaf;
    let level = this.#groups;
    while (level.length > HASH_BYTES) level = await this.#upper.nodes(level);
    return level.slice();
  }

  /** A stream that failed holds nothing. */
  async #orAbort<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.abort();
      throw error;
    }
  }

  /** One call after another, also where the caller did not wait. */
  #inOrder(work: () => Promise<void>): Promise<void> {
    this.#calls = this.#calls.then(work);
    return this.#calls;
  }

  async #copy(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      this.#announced.checkNotAborted();
      this.#current ??= await this.#freeSlab();
      const end = Math.min(at + SLAB_BYTES - this.#filled, chunk.length);
      this.#current.set(chunk.subarray(at, end), this.#filled);
      this.#filled += end - at;
      at = end;
      if (this.#filled === SLAB_BYTES) this.#dispatch(this.#current);
    }
  }

  async #freeSlab(): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#underway.length >= SLABS_A_WORKER * this.#pool.limit) await this.#underway[0];
    this.#announced.checkNotAborted();
    return this.#pool.takeSlab();
  }

  #dispatch(slab: Uint8Array<ArrayBuffer>): void {
    const bytes = slab.subarray(0, this.#filled);
    const offset = this.#sentBytes;
    this.#current = null;
    this.#filled = 0;
    this.#sentBytes += bytes.length;
    const flat = this.#request.sha256 ? this.#runFlat(bytes) : null;
    const tree = this.#pool.leastBusy().run({ kind: 'tree', bytes });
    const before = this.#underway.at(-1);
    const turn = Promise.all([tree, flat, before]).then(([hashes, digest]) => {
      void this.#underway.shift();
      if (this.#announced.aborted) return;
      this.#place(offset, hashes);
      if (digest !== null && digest.flat.length > 0) this.#flat = digest.flat;
    });
    // A failure is reported by the next call that waits for this slab or a later one.
    turn.catch(() => undefined);
    this.#underway.push(turn);
  }

  async #runFlat(bytes: Uint8Array<ArrayBuffer>): Promise<DigestAnswer> {
    const copy = this.#pool.takeSlab().subarray(0, bytes.length);
    copy.set(bytes);
    this.#flatWorker ??= this.#pool.leastBusy();
    const last = this.#sentBytes === this.#request.byteLength;
    const answer = await this.#flatWorker.run({ kind: 'flat', stream: this.#id, bytes: copy, last });
    this.#pool.releaseSlab(answer.buffer);
    return answer;
  }

  /** Answers have the lengths that were asked for: set() refuses longer ones, and shorter ones give another root. */
  #place(offset: number, { leaves, nodes, buffer }: DigestAnswer): void {
    const group = (offset / SLAB_BYTES) * NODES_A_SLAB;
    if (offset === 0) this.#firstLeaf = leaves.slice(0, HASH_BYTES);
    this.#groups.set(this.#blocks === 1 ? this.#firstLeaf : nodes, group * HASH_BYTES);
    this.#leaves?.set(leaves, (offset / SLAB_BYTES) * LEAVES_A_SLAB * HASH_BYTES);
    this.#pool.releaseSlab(buffer);
  }
}
