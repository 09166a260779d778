import { checkBytes, isVramError, VramError } from '../../base/index.js';
import {
  type FillNatively,
  HASH_BYTES,
  type NativeSink,
  type TreeLayout,
  treeLayout,
} from '../../digest/index.js';
import { checkFillLength, NativeFills } from '../native-fills.js';
import { checkFlip, checkNodes, paddedBlock, releasedError, stateError } from '../region-checks.js';
import { RootProgress, type RunWatch } from '../root-progress.js';
import type {
  FaultPort,
  HostBinding,
  Immutability,
  Region,
  RootOptions,
  RunOptions,
  TreeRoot,
} from '../types.js';
import { HostLease } from './lease.js';
import type { HostMemory } from './memory.js';
import type { NativeSinks } from './options.js';
import type { HostScratch } from './scratch.js';
import { type TreeMachine, TreeRun } from './tree-run.js';

/** Bytes read back with every run besides its nodes: the count (u64) and the hash of the canary. */
const RUN_PROOF_BYTES = 8 + HASH_BYTES;

/** A device, as its regions see it. */
export interface HostOwner {
  readonly machine: TreeMachine & { readonly scratch: HostScratch };
  readonly drills: boolean;
  readonly sinks: NativeSinks | undefined;
  /** Throws DEVICE_LOST if the device is lost. */
  checkPresent(): void;
  /** Runs share one scratch pool: one after another. */
  serial<T>(work: () => Promise<T>): Promise<T>;
  countUpload(bytes: number): void;
  countReadback(bytes: number): void;
  wipe(segment: Uint8Array): void;
  /** Takes a segment back; `wiped`: it is all zeros again. */
  freed(segment: Uint8Array, wiped: boolean): void;
  /** Ends the accounting of a region. */
  forget(region: HostRegion): void;
}

type State = 'filling' | 'frozen' | 'released';

/** A region in plain memory. Frozen means that this object refuses to write; nothing else prevents it (`api-only`). */
export class HostRegion implements Region {
  readonly byteLength: number;
  readonly allocatedBytes: number;
  readonly faults: FaultPort | null;
  readonly shared = null;
  readonly fillNatively: FillNatively | undefined;
  readonly #owner: HostOwner;
  readonly #memory: HostMemory;
  readonly #layout: TreeLayout;
  readonly #fills: NativeFills;
  #state: State = 'filling';
  #release: Promise<void> | null = null;

  constructor(owner: HostOwner, memory: HostMemory, byteLength: number) {
    this.#owner = owner;
    this.#memory = memory;
    this.#layout = treeLayout(byteLength);
    this.byteLength = byteLength;
    this.allocatedBytes = this.#memory.byteLength;
    const { sinks } = owner;
    this.#fills = new NativeFills((sink) => sinks?.close(sink));
    this.fillNatively =
      sinks && ((offset, length, fill) => this.#fills.run(() => this.#fill(sinks, offset, length, fill)));
    this.faults = owner.drills ? { flip: (byte, mask) => this.#flip(byte, mask) } : null;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#checkState('filling');
    checkBytes('bytes', bytes);
    this.#memory.write(offset, bytes);
    this.#owner.countUpload(bytes.length);
  }

  async #fill(
    sinks: NativeSinks,
    offset: number,
    length: number,
    fill: (sink: NativeSink) => Promise<void>,
  ): Promise<void> {
    this.#checkState('filling');
    checkFillLength(length);
    const pieces = this.#memory.toFill(offset, length);
    try {
      await this.#fills.lend(sinks.open(pieces), fill);
    } catch (error) {
      // If the memory was withdrawn, that is why the fill failed.
      this.#checkLive();
      throw error;
    }
    this.#owner.countUpload(length);
  }

  async freeze(): Promise<Immutability> {
    this.#checkLive();
    this.#state = 'frozen';
    if (this.#fills.anyUnderWay) await this.#fills.ended();
    return 'api-only';
  }

  async root(options: RootOptions = {}): Promise<TreeRoot> {
    this.#checkState('frozen');
    const root = new Uint8Array(HASH_BYTES);
    const level = this.#layout.levels.length - 1;
    const progress = new RootProgress(this.byteLength, options);
    const blocks = await this.#run({ level, firstBlock: 0, blocks: this.#layout.blocks }, root, progress);
    progress.proved();
    return { root, blocks };
  }

  async nodes(level: number, first: number, count: number, options: RunOptions = {}): Promise<Uint8Array> {
    this.#checkState('frozen');
    const part = checkNodes(this.#layout, level, first, count);
    const nodes = new Uint8Array(count * HASH_BYTES);
    await this.#run(part, nodes, options);
    return nodes;
  }

  async patch(block: number, bytes: Uint8Array): Promise<void> {
    this.#checkState('frozen');
    const whole = paddedBlock(this.#layout, block, bytes);
    this.#memory.writeBlock(block, whole);
    this.#owner.countUpload(bytes.length);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.#checkLive();
    const bytes = this.#memory.read(offset, length);
    this.#owner.countReadback(length);
    return bytes;
  }

  view(offset: number, length: number): HostBinding {
    this.#checkState('frozen');
    this.#memory.check(offset, length);
    return new HostLease(length, (from, bytes) => this.read(offset + from, bytes));
  }

  /** No other process maps it, so wiping is safe. */
  abandon(): Promise<void> {
    return this.release();
  }

  release(): Promise<void> {
    this.#state = 'released';
    this.#fills.withdraw();
    // Queued behind the runs: one that was in progress when release was called reads the sealed bytes, not zeros.
    this.#release ??= this.#owner.serial(() => this.#releaseMemory());
    return this.#release;
  }

  async #releaseMemory(): Promise<void> {
    const failures: unknown[] = [];
    for (const { segment, written } of this.#memory.drain()) {
      let wiped = false;
      try {
        this.#owner.wipe(written);
        wiped = true;
      } catch (error) {
        failures.push(error);
      }
      this.#owner.freed(segment, wiped);
    }
    this.#owner.forget(this);
    if (failures.length > 0) {
      throw new VramError('RELEASE_FAILED', 'the memory was given back but could not be overwritten first', {
        cause: failures[0],
      });
    }
  }

  async #run(
    part: { readonly level: number; readonly firstBlock: number; readonly blocks: number },
    out: Uint8Array,
    watch: RunWatch,
  ): Promise<number> {
    const run = new TreeRun(this.#owner.machine, part, out);
    return await this.#owner.serial(async () => {
      if (this.#fills.anyUnderWay) await this.#fills.ended();
      this.#owner.checkPresent();
      const blocks = await this.#executed(run, watch);
      this.#owner.countReadback(out.length + RUN_PROOF_BYTES);
      return blocks;
    });
  }

  async #executed(run: TreeRun, watch: RunWatch): Promise<number> {
    try {
      return await run.execute(this.#memory, watch);
    } catch (cause) {
      if (isVramError(cause)) throw cause;
      throw new VramError(
        'DEVICE_UNAVAILABLE',
        'the digest engine of the host device failed; nothing was verified',
        {
          cause,
        },
      );
    }
  }

  async #flip(byte: number, mask: number): Promise<void> {
    this.#checkLive();
    checkFlip(this.allocatedBytes, byte, mask);
    this.#memory.flip(byte, mask);
  }

  #checkLive(): void {
    if (this.#state === 'released') throw releasedError();
    this.#owner.checkPresent();
  }

  #checkState(needed: 'filling' | 'frozen'): void {
    this.#checkLive();
    if (this.#state === needed) return;
    throw stateError(needed);
  }
}
