import { throwIfAborted } from '../../base/index.js';
import { BLOCK_BYTES, HASH_BYTES, HASHES_PER_BLOCK } from '../../digest/index.js';
import type { TreePart } from '../region-checks.js';
import type { RunWatch } from '../root-progress.js';
import type { MemoryHandle } from './addon.js';
import { notWritten, RunProof } from './run-proof.js';
import { LEAF_COUNTER_OFFSET, type LevelBuffer, PROOF_BYTES, ROOT_OFFSET } from './scratch.js';
import { begin, type Dispatch, dispatch, fillScratch, type TreeMachine } from './tree-machine.js';

/** Dispatches between waits, which bounds the delay of an abort. */
const WINDOWS_IN_FLIGHT = 4;

/**
 * One run of the tree kernels over resident blocks (CI-010). Scratch is filled with the run's own random pattern first; the
 * device counts the blocks and nodes that it hashes; and a fresh random canary block is hashed in every dispatch, its hash
 * going back into it, so that the last hash depends on every dispatch in order. Count, canary and pattern are checked on
 * the host.
 */
export class TreeRun {
  readonly #machine: TreeMachine;
  readonly #part: TreePart;
  readonly #out: Uint8Array;
  readonly #waiting: number[];
  readonly #proof: RunProof;
  #outLength = 0;
  #readbackBytes = 0;

  /** `out` has room for the part's nodes, 32 bytes each. */
  constructor(machine: TreeMachine, part: TreePart, out: Uint8Array) {
    this.#machine = machine;
    this.#part = part;
    this.#out = out;
    this.#waiting = Array.from({ length: part.level + 1 }, () => 0);
    this.#proof = new RunProof(machine);
  }

  /** Bytes read back so far. */
  get readbackBytes(): number {
    return this.#readbackBytes;
  }

  /** Fills `out`; resolves to the number of blocks hashed. Errors: DEVICE_UNAVAILABLE, ABORTED, and the addon's. */
  async execute(data: MemoryHandle, watch: RunWatch): Promise<number> {
    throwIfAborted(watch.signal);
    try {
      await this.#prepare();
      await this.#hashLeaves(data, watch);
      for (let level = 0; level < this.#part.level; level++) await this.#flush(level);
      return await this.#finish();
    } catch (error) {
      // All work must have ended before the next run fills scratch. The first failure is reported.
      await this.#machine.addon.synchronize(this.#machine.device).catch(() => undefined);
      throw error;
    }
  }

  async #prepare(): Promise<void> {
    await begin(this.#machine, this.#proof);
    await this.#fill(ROOT_OFFSET, HASH_BYTES);
    let hashes = this.#part.blocks;
    for (let level = 0; level <= this.#part.level; level++) {
      const { offset, capacity } = this.#level(level);
      await this.#fill(offset, (Math.min(hashes, capacity) + 1) * HASH_BYTES);
      hashes = Math.ceil(hashes / HASHES_PER_BLOCK);
    }
  }

  async #fill(offset: number, length: number): Promise<void> {
    await fillScratch(this.#machine, offset, length, this.#proof.word);
  }

  async #hashLeaves(data: MemoryHandle, { signal, onHashed }: RunWatch): Promise<void> {
    const { firstBlock, blocks } = this.#part;
    const { addon, device, layout } = this.#machine;
    const { offset, capacity } = this.#level(0);
    let windows = 0;
    for (let done = 0; done < blocks; ) {
      throwIfAborted(signal);
      const used = this.#waiting[0] ?? 0;
      const count = Math.min(layout.windowBlocks, capacity - used, blocks - done);
      await this.#dispatch({
        kernel: 'vr_leaves',
        memory: data,
        offset: (firstBlock + done) * BLOCK_BYTES,
        length: count * BLOCK_BYTES,
        inputs: count,
        outputs: count,
        outOffset: offset + used * HASH_BYTES,
      });
      done += count;
      await this.#grow(0, count);
      if (++windows % WINDOWS_IN_FLIGHT === 0) {
        await addon.synchronize(device);
        onHashed?.(done);
      }
    }
  }

  /** Adds new hashes of a level, and hashes them into the next one if the buffer is full. */
  async #grow(level: number, count: number): Promise<void> {
    const waiting = (this.#waiting[level] ?? 0) + count;
    this.#waiting[level] = waiting;
    if (waiting === this.#level(level).capacity && level < this.#part.level) await this.#flush(level);
    else if (waiting === this.#level(level).capacity) await this.#collect();
  }

  /** Hashes the waiting hashes of a level into the level above. */
  async #flush(level: number): Promise<void> {
    const count = this.#waiting[level] ?? 0;
    if (count === 0) return;
    this.#waiting[level] = 0;
    const from = this.#level(level);
    const to = this.#level(level + 1);
    const outputs = Math.ceil(count / HASHES_PER_BLOCK);
    await this.#dispatch({
      kernel: 'vr_nodes',
      memory: this.#machine.scratch,
      offset: from.offset,
      length: count * HASH_BYTES,
      inputs: count,
      outputs,
      outOffset: to.offset + (this.#waiting[level + 1] ?? 0) * HASH_BYTES,
    });
    await this.#grow(level + 1, outputs);
  }

  /** Copies back the hashes of the requested level. */
  async #collect(): Promise<void> {
    const { level } = this.#part;
    const count = this.#waiting[level] ?? 0;
    if (count === 0) return;
    this.#waiting[level] = 0;
    const { addon, scratch } = this.#machine;
    const length = count * HASH_BYTES;
    this.#out.set(await addon.read(scratch, this.#level(level).offset, length), this.#outLength);
    this.#outLength += length;
    this.#readbackBytes += length;
  }

  /** Reads back root, counts and canary in one copy; several nodes in a separate copy before it. */
  async #finish(): Promise<number> {
    const { addon, scratch } = this.#machine;
    const single = this.#out.length === HASH_BYTES && this.#outLength === 0;
    if (single)
      await addon.copy(scratch, ROOT_OFFSET, scratch, this.#level(this.#part.level).offset, HASH_BYTES);
    else await this.#collect();
    const from = single ? ROOT_OFFSET : LEAF_COUNTER_OFFSET;
    const proof = new Uint8Array(PROOF_BYTES);
    proof.set(await addon.read(scratch, from, PROOF_BYTES - from), from);
    this.#readbackBytes += PROOF_BYTES - from;
    if (single) {
      this.#out.set(proof.subarray(ROOT_OFFSET, HASH_BYTES));
      this.#outLength = HASH_BYTES;
    }
    await this.#proof.check(proof);
    if (this.#outLength !== this.#out.length) throw notWritten();
    this.#proof.checkWritten(this.#out);
    return this.#part.blocks;
  }

  async #dispatch(work: Dispatch): Promise<void> {
    await dispatch(this.#machine, this.#proof, work);
  }

  #level(level: number): LevelBuffer {
    const buffer = this.#machine.layout.levels[level];
    if (buffer === undefined) throw new RangeError(`the tree has no level ${level}`);
    return buffer;
  }
}
