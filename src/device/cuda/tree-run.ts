import { throwIfAborted, VramError } from '../../base/index.js';
import { BLOCK_BYTES, HASH_BYTES, HASHES_PER_BLOCK } from '../../digest/index.js';
import type { TreePart } from '../region-checks.js';
import type { RunWatch } from '../root-progress.js';
import type { Addon, DeviceHandle, KernelArgument, MemoryHandle, ModuleHandle } from './addon.js';
import {
  CANARY_OFFSET,
  COUNTERS_BYTES,
  LEAF_COUNTER_OFFSET,
  type LevelBuffer,
  NODE_COUNTER_OFFSET,
  PROOF_BYTES,
  ROOT_OFFSET,
  type ScratchLayout,
} from './scratch.js';

/** Threads of a block; the kernels allow up to 256. */
const THREADS = 128;
const COUNTER_BYTES = 8;
/** What one thread of vr_fill fills. */
export const VECTOR_BYTES = 16;
/** Dispatches between waits: a bound on what an abort has to wait for. */
const WINDOWS_IN_FLIGHT = 4;

/** What a run works with. */
export interface TreeMachine {
  readonly addon: Addon;
  readonly device: DeviceHandle;
  readonly kernels: ModuleHandle;
  readonly scratch: MemoryHandle;
  readonly layout: ScratchLayout;
  /** The host's own hash, for the canary. */
  sha256(bytes: Uint8Array): Promise<Uint8Array>;
  randomBytes(length: number): Uint8Array;
}

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
  readonly #canary: Uint8Array;
  readonly #pattern: Uint8Array;
  #outLength = 0;
  #dispatches = 0;
  #nodes = 0;
  #readbackBytes = 0;

  /** `out` has room for the part's nodes, 32 bytes each. */
  constructor(machine: TreeMachine, part: TreePart, out: Uint8Array) {
    this.#machine = machine;
    this.#part = part;
    this.#out = out;
    this.#waiting = Array.from({ length: part.level + 1 }, () => 0);
    this.#canary = machine.randomBytes(BLOCK_BYTES);
    this.#pattern = machine.randomBytes(4);
  }

  /** Bytes brought back so far. */
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
      // Nothing may still write scratch when the next run fills it. The first failure is the one to tell.
      await this.#machine.addon.synchronize(this.#machine.device).catch(() => undefined);
      throw error;
    }
  }

  async #prepare(): Promise<void> {
    const { addon, scratch } = this.#machine;
    await addon.write(scratch, CANARY_OFFSET, this.#canary);
    await addon.drain(scratch);
    await this.#fill(ROOT_OFFSET, HASH_BYTES);
    await addon.fill(scratch, LEAF_COUNTER_OFFSET, COUNTERS_BYTES, 0);
    let hashes = this.#part.blocks;
    for (let level = 0; level <= this.#part.level; level++) {
      const { offset, capacity } = this.#level(level);
      await this.#fill(offset, (Math.min(hashes, capacity) + 1) * HASH_BYTES);
      hashes = Math.ceil(hashes / HASHES_PER_BLOCK);
    }
  }

  async #fill(offset: number, length: number): Promise<void> {
    const pattern = new DataView(this.#pattern.buffer, this.#pattern.byteOffset).getUint32(0, true);
    await fillScratch(this.#machine, offset, length, pattern);
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
      await this.#dispatch(
        'vr_leaves',
        { memory: data, offset: (firstBlock + done) * BLOCK_BYTES, length: count * BLOCK_BYTES },
        { inputs: count, outputs: count },
        offset + used * HASH_BYTES,
        LEAF_COUNTER_OFFSET,
      );
      done += count;
      await this.#grow(0, count);
      if (++windows % WINDOWS_IN_FLIGHT === 0) {
        await addon.synchronize(device);
        onHashed?.(done);
      }
    }
  }

  /** Notes new hashes of a level, and hands them on if its buffer is full. */
  async #grow(level: number, count: number): Promise<void> {
    const waiting = (this.#waiting[level] ?? 0) + count;
    this.#waiting[level] = waiting;
    if (waiting === this.#level(level).capacity && level < this.#part.level) await this.#flush(level);
    else if (waiting === this.#level(level).capacity) await this.#collect();
  }

  /** Hashes what waits at a level into the level above. */
  async #flush(level: number): Promise<void> {
    const count = this.#waiting[level] ?? 0;
    if (count === 0) return;
    this.#waiting[level] = 0;
    const from = this.#level(level);
    const to = this.#level(level + 1);
    const outputs = Math.ceil(count / HASHES_PER_BLOCK);
    await this.#dispatch(
      'vr_nodes',
      this.#scratch(from.offset, count * HASH_BYTES),
      { inputs: count, outputs },
      to.offset + (this.#waiting[level + 1] ?? 0) * HASH_BYTES,
      NODE_COUNTER_OFFSET,
    );
    this.#nodes += outputs;
    await this.#grow(level + 1, outputs);
  }

  /** Brings back the hashes that wait at the wanted level. */
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

  /** Root, counts and canary come back in one copy; several nodes in a copy of their own before it. */
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
    await this.#prove(proof);
    return this.#part.blocks;
  }

  async #prove(proof: Uint8Array): Promise<void> {
    const view = new DataView(proof.buffer);
    const leaves = view.getBigUint64(LEAF_COUNTER_OFFSET, true);
    if (leaves !== BigInt(this.#part.blocks))
      throw didNotRun(`${leaves} of ${this.#part.blocks} blocks were hashed`);
    const nodes = view.getBigUint64(NODE_COUNTER_OFFSET, true);
    if (nodes !== BigInt(this.#nodes)) throw didNotRun(`${nodes} of ${this.#nodes} nodes were hashed`);
    const block = Uint8Array.from(this.#canary);
    for (let i = 0; i < this.#dispatches; i++) block.set(await this.#machine.sha256(block));
    const canary = proof.subarray(CANARY_OFFSET, PROOF_BYTES);
    if (!canary.every((byte, i) => byte === block[i])) throw didNotRun('the canary block was not hashed');
    if (this.#outLength !== this.#out.length || this.#holdsPattern()) {
      throw didNotRun('its result was not written');
    }
  }

  /** A hash of the result that is the pattern, which was drawn for this run, was never written. */
  #holdsPattern(): boolean {
    for (let at = 0; at < this.#out.length; at += HASH_BYTES) {
      const hash = this.#out.subarray(at, at + HASH_BYTES);
      if (hash.every((byte, i) => byte === this.#pattern[i % this.#pattern.length])) return true;
    }
    return false;
  }

  async #dispatch(
    kernel: 'vr_leaves' | 'vr_nodes',
    input: KernelArgument,
    count: { readonly inputs: number; readonly outputs: number },
    outOffset: number,
    counterOffset: number,
  ): Promise<void> {
    const { addon, scratch } = this.#machine;
    await launch(this.#machine, kernel, count.outputs + 1, [
      input,
      { u64: count.inputs },
      this.#scratch(CANARY_OFFSET, BLOCK_BYTES),
      this.#scratch(outOffset, (count.outputs + 1) * HASH_BYTES),
      this.#scratch(counterOffset, COUNTER_BYTES),
    ]);
    this.#dispatches++;
    await addon.copy(scratch, CANARY_OFFSET, scratch, outOffset + count.outputs * HASH_BYTES, HASH_BYTES);
  }

  #scratch(offset: number, length: number): KernelArgument {
    return { memory: this.#machine.scratch, offset, length };
  }

  #level(level: number): LevelBuffer {
    const buffer = this.#machine.layout.levels[level];
    if (buffer === undefined) throw new RangeError(`the tree has no level ${level}`);
    return buffer;
  }
}

/** Starts a fill of `length` bytes, a multiple of 16, with a 32-bit word. Errors: the addon's. */
export async function fillScratch(
  machine: TreeMachine,
  offset: number,
  length: number,
  word: number,
): Promise<void> {
  const target = { memory: machine.scratch, offset, length };
  await launch(machine, 'vr_fill', length / VECTOR_BYTES, [target, { u64: length }, { u32: word }]);
}

async function launch(
  { addon, kernels }: TreeMachine,
  kernel: string,
  threads: number,
  args: readonly KernelArgument[],
): Promise<void> {
  await addon.launch(kernels, kernel, [Math.ceil(threads / THREADS), 1, 1], [THREADS, 1, 1], args);
}

function didNotRun(what: string): VramError {
  return new VramError(
    'DEVICE_UNAVAILABLE',
    `the CUDA device did not carry out the run: ${what}; nothing was verified`,
  );
}
