import { checkBytes, checkInteger, invalidInput, Serial, VramError } from '../../base/index.js';
import { BLOCK_BYTES, type TreeLayout, treeLayout } from '../../digest/index.js';
import {
  checkFlip,
  checkNodes,
  paddedBlock,
  releasedError,
  stateError,
  type TreePart,
} from '../region-checks.js';
import { RootProgress, type RunWatch } from '../root-progress.js';
import type { SegmentTable } from '../segments.js';
import type {
  FaultPort,
  Immutability,
  Region,
  RootOptions,
  RunOptions,
  TreeRoot,
  WebGpuBinding,
} from '../types.js';
import { MAX_DISPATCHES, type Submitter } from './batch.js';
import { wipeBuffers } from './buffers.js';
import { VECTOR_BYTES } from './constants.js';
import { type GpuContext, type Purpose, settleAll } from './context.js';
import { type Kernels, SCATTERED_BUFFERS } from './kernels.js';
import { type LeasedBuffer, WebGpuLease } from './lease.js';
import { type SealedRange, SLOT_BYTES, type Staging } from './staging.js';
import type { TreeEngine } from './tree.js';
import type { TreeResult } from './tree-run.js';

/** Chunks of a readback in progress at a time, one for each slot. */
const READS = 2;

/** The interface of the device for its regions. */
export interface RegionOwner {
  readonly context: GpuContext;
  readonly kernels: Kernels;
  readonly submitter: Submitter;
  readonly staging: Staging;
  readonly tree: TreeEngine;
  readonly drills: boolean;
  /** Ends the accounting of a region. */
  forget(region: WebGpuRegion): void;
}

export interface RegionMemory {
  /** STORAGE usage alone; whole blocks each. */
  readonly buffers: readonly GPUBuffer[];
  /** The buffers' lengths. */
  readonly table: SegmentTable;
  /** Where the caller requested that buffers begin; null without such a request. */
  readonly cuts: readonly number[] | null;
}

type State = 'filling' | 'freezing' | 'frozen' | 'released';

/** Consecutive bytes of a region that go through one staging slot in one submission. */
interface Chunk {
  /** One per buffer. */
  readonly ranges: readonly SealedRange[];
  /** Counted from the start of the byte range. */
  readonly at: number;
  readonly length: number;
}

/**
 * A shard's sealed buffers. `usage-locked`: every copy and map call on them is a validation error, whoever makes it. With
 * cuts it is `api-only`: a lease then returns the buffers, and their holder could bind them writable.
 */
export class WebGpuRegion implements Region {
  readonly byteLength: number;
  readonly allocatedBytes: number;
  readonly faults: FaultPort | null;
  readonly shared = null;
  readonly #owner: RegionOwner;
  readonly #memory: RegionMemory;
  readonly #layout: TreeLayout;
  readonly #writes = new Serial();
  readonly #running = new Set<Promise<unknown>>();
  #accepted: Promise<void> = Promise.resolve();
  #state: State = 'filling';
  #freeze: Promise<Immutability> | null = null;
  #release: Promise<void> | null = null;

  constructor(owner: RegionOwner, memory: RegionMemory, byteLength: number) {
    this.#owner = owner;
    this.#memory = memory;
    this.#layout = treeLayout(byteLength);
    this.byteLength = byteLength;
    this.allocatedBytes = memory.table.byteLength;
    this.faults = owner.drills ? { flip: (byte, mask) => this.#flip(byte, mask) } : null;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#checkState('filling');
    checkBytes('bytes', bytes);
    this.#checkRange(offset, bytes.length);
    await this.#track(this.#writes.run(() => this.#upload({ what: 'a write' }, offset, bytes)));
  }

  freeze(): Promise<Immutability> {
    // Checked first: a second, unawaited rejection would be unhandled.
    if (this.#state === 'released') return Promise.reject(releasedError());
    this.#freeze ??= this.#track(this.#finishWrites());
    return this.#freeze;
  }

  async root(options: RootOptions = {}): Promise<TreeRoot> {
    this.#checkState('frozen');
    const part = { level: this.#layout.levels.length - 1, firstBlock: 0, blocks: this.#layout.blocks };
    const progress = new RootProgress(this.byteLength, options);
    const { root } = await this.#track(this.#tree(part, true, progress));
    progress.proved();
    return { root, blocks: part.blocks };
  }

  async nodes(level: number, first: number, count: number, options: RunOptions = {}): Promise<Uint8Array> {
    this.#checkState('frozen');
    const part = checkNodes(this.#layout, level, first, count);
    // The top level's only node is the root, which comes back with the run's proof.
    if (level === this.#layout.levels.length - 1) return (await this.root(options)).root;
    const { nodes } = await this.#track(this.#tree(part, false, options));
    return nodes;
  }

  #tree(part: TreePart, root: boolean, { signal, onHashed }: RunWatch): Promise<TreeResult> {
    const rangesPerDispatch = this.#memory.cuts === null ? 1 : SCATTERED_BUFFERS;
    const ranges = this.#blockRanges;
    return this.#owner.tree.run({ part, root, ranges, rangesPerDispatch, signal, onHashed });
  }

  async patch(block: number, bytes: Uint8Array): Promise<void> {
    this.#checkState('frozen');
    const whole = paddedBlock(this.#layout, block, bytes);
    await this.#track(this.#change({ what: 'healing a block' }, block * BLOCK_BYTES, whole, false));
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.#checkLive();
    this.#checkRange(offset, length);
    const bytes = resultArray(length);
    // Waits for the writes requested before it.
    await this.#track(this.#writes.run(() => this.#download(offset, bytes)));
    return bytes;
  }

  view(offset: number, length: number): WebGpuBinding {
    this.#checkState('frozen');
    this.#checkRange(offset, length);
    const region = {
      context: this.#owner.context,
      layout: this.#owner.kernels.sealedLayout,
      check: () => this.#checkLive(),
      ranges: (from: number, bytes: number) => this.#ranges(from, bytes),
      buffers: this.#memory.cuts === null ? null : this.#cutBuffers(this.#memory.cuts),
    };
    return new WebGpuLease(region, offset, length);
  }

  /** No other process can map it, so it is wiped. */
  abandon(): Promise<void> {
    return this.release();
  }

  release(): Promise<void> {
    this.#state = 'released';
    this.#release ??= this.#releaseMemory();
    return this.#release;
  }

  async #upload(purpose: Purpose, offset: number, bytes: Uint8Array): Promise<void> {
    for (const { ranges, at, length } of this.#chunks(offset, bytes.length)) {
      const part = bytes.subarray(at, at + length);
      const { accepted } = await this.#owner.staging.upload(purpose, ranges, part);
      this.#accepted = Promise.all([this.#accepted, accepted]).then(() => undefined);
      // freeze() awaits it and throws; until then this marks a rejection as handled.
      this.#accepted.catch(() => undefined);
    }
  }

  async #finishWrites(): Promise<Immutability> {
    this.#checkLive();
    this.#state = 'freezing';
    await this.#writes.run(async () => {
      await this.#accepted;
      await this.#owner.context.idle({ what: 'the writes before freeze' });
    });
    // A concurrent release takes precedence.
    if (this.#state === 'freezing') this.#state = 'frozen';
    return this.#memory.cuts === null ? 'usage-locked' : 'api-only';
  }

  async #change(purpose: Purpose, offset: number, bytes: Uint8Array, flip: boolean): Promise<void> {
    // One block or one byte: never more than one buffer.
    const { accepted } = await this.#owner.staging.upload(
      purpose,
      this.#ranges(offset, bytes.length),
      bytes,
      flip,
    );
    await accepted;
    await this.#owner.context.idle(purpose);
  }

  async #flip(byte: number, mask: number): Promise<void> {
    this.#checkLive();
    checkFlip(this.allocatedBytes, byte, mask);
    await this.#track(
      this.#writes.run(() => this.#change({ what: 'a drill' }, byte, Uint8Array.of(mask), true)),
    );
  }

  async #download(offset: number, into: Uint8Array): Promise<void> {
    // Shared by the readers: each takes the next chunk, and a failure ends the supply.
    const chunks = this.#chunks(offset, into.length);
    const readChunks = async (): Promise<void> => {
      for (const { ranges, at } of chunks) {
        into.set(await this.#owner.staging.readSealed({ what: 'a readback' }, ranges), at);
      }
    };
    await settleAll(Array.from({ length: READS }, readChunks));
  }

  async #releaseMemory(): Promise<void> {
    // Queued behind running work, which must read the sealed bytes, not zeros.
    await Promise.allSettled([...this.#running]);
    try {
      await wipeBuffers(this.#owner, this.#memory.buffers);
    } catch (cause) {
      throw new VramError('RELEASE_FAILED', 'the memory was given back but could not be overwritten first', {
        cause,
      });
    } finally {
      await this.#owner.context.free(this.#memory.buffers);
      this.#owner.forget(this);
    }
  }

  /** Parts of a byte range, in order, limited by the size of a staging slot and by the buffers of a submission. */
  *#chunks(offset: number, length: number): Generator<Chunk> {
    let at = 0;
    let ranges: SealedRange[] = [];
    let taken = 0;
    let room = 0;
    for (const { buffer, offset: start, length: bytes } of this.#ranges(offset, length)) {
      for (let done = 0; done < bytes; ) {
        if (room === 0 || ranges.length === MAX_DISPATCHES) {
          if (taken > 0) yield { ranges, at, length: taken };
          at += taken;
          ranges = [];
          taken = 0;
          // Whole vectors from the first chunk on: only the ends of the range are then masked.
          room = SLOT_BYTES - ((start + done) % VECTOR_BYTES);
        }
        const part = Math.min(room, bytes - done);
        ranges.push({ buffer, offset: start + done, length: part });
        done += part;
        taken += part;
        room -= part;
      }
    }
    if (taken > 0) yield { ranges, at, length: taken };
  }

  #cutBuffers(cuts: readonly number[]): readonly LeasedBuffer[] {
    return this.#memory.buffers.map((buffer, index) => {
      const offset = cuts[index] ?? 0;
      return { buffer, offset, length: (cuts[index + 1] ?? this.byteLength) - offset };
    });
  }

  #ranges(offset: number, length: number): readonly SealedRange[] {
    return this.#memory.table.resolve(offset, length).map((piece) => {
      const buffer = this.#memory.buffers[piece.segment];
      if (buffer === undefined)
        throw new VramError('DEVICE_UNAVAILABLE', 'the segment table names no such buffer');
      return { buffer, offset: piece.offset, length: piece.length };
    });
  }

  readonly #blockRanges = (firstBlock: number, blocks: number): readonly SealedRange[] =>
    this.#ranges(firstBlock * BLOCK_BYTES, blocks * BLOCK_BYTES);

  async #track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }

  #checkLive(): void {
    if (this.#state === 'released') throw releasedError();
    this.#owner.context.check();
  }

  #checkState(needed: 'filling' | 'frozen'): void {
    this.#checkLive();
    if (this.#state === needed) return;
    throw stateError(needed);
  }

  #checkRange(offset: number, length: number): void {
    checkInteger('offset', offset, 0, this.byteLength);
    checkInteger('length', length, 0, this.byteLength - offset);
  }
}

function resultArray(length: number): Uint8Array {
  try {
    return new Uint8Array(length);
  } catch (cause) {
    throw invalidInput('length', 'is more than one array can hold; read in parts', cause);
  }
}
