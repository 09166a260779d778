import { throwIfAborted, VramError } from '../../base/index.js';
import { BLOCK_BYTES, HASH_BYTES, HASHES_PER_BLOCK } from '../../digest/index.js';
import type { TreePart } from '../region-checks.js';
import type { RunWatch } from '../root-progress.js';
import type { HostKernels } from './kernels.js';
import type { HostMemory } from './memory.js';
import type { HostScratch } from './scratch.js';

/** Hashed in one go before timers, I/O and an abort get their turn: 32 MiB, some 30 ms. */
const UNBROKEN_BLOCKS = (32 * 1024 * 1024) / BLOCK_BYTES;

/** A window whose blocks are being hashed. `settled` never rejects. */
interface UnderWay {
  /** `end`: the first block of the part after the window. */
  readonly hashed: Promise<{ readonly end: number; readonly hashes: Uint8Array }>;
  readonly settled: Promise<unknown>;
}

/** Everything that a run needs; the hash is computed on the host, for the canary. */
export interface TreeMachine {
  readonly kernels: HostKernels;
  readonly scratch: HostScratch;
  sha256(bytes: Uint8Array): Promise<Uint8Array>;
}

/**
 * One run of the tree kernels over resident blocks, window by window. Every buffer is marked with the run's own pattern
 * before a kernel writes it, hashes are counted, and a fresh random block goes through the same kernels: this detects a
 * kernel that did not run, ran short or returned old results (CI-010).
 */
export class TreeRun {
  readonly #machine: TreeMachine;
  readonly #part: TreePart;
  readonly #out: Uint8Array;
  readonly #fill: number[];
  #outLength = 0;
  #leaves = 0;

  constructor(machine: TreeMachine, part: TreePart, out: Uint8Array) {
    this.#machine = machine;
    this.#part = part;
    this.#out = out;
    this.#fill = Array.from({ length: part.level }, () => 0);
  }

  /** Fills `out` with the part's nodes; resolves to the number of blocks hashed. Errors: DEVICE_UNAVAILABLE, ABORTED. */
  async execute(memory: HostMemory, { signal, onHashed }: RunWatch): Promise<number> {
    const { scratch } = this.#machine;
    const { blocks, level } = this.#part;
    scratch.renew();
    scratch.mark(this.#out);
    let unbroken = 0;
    // Two at a time, so that threads have the next window while the hashes of this one are passed on.
    const underWay = [this.#startWindow(memory, 0), this.#startWindow(memory, scratch.windowBlocks)];
    try {
      for (let window = underWay[0] ?? null; window !== null; window = underWay[0] ?? null) {
        throwIfAborted(signal);
        const { end, hashes } = await window.hashed;
        await this.#push(0, hashes);
        underWay.shift();
        underWay.push(this.#startWindow(memory, end + scratch.windowBlocks));
        onHashed?.(end);
        unbroken += hashes.length / HASH_BYTES;
        if (unbroken >= UNBROKEN_BLOCKS && end < blocks) {
          unbroken = 0;
          await nextTask();
        }
      }
    } finally {
      // Until these settle, threads read the region.
      await Promise.all(underWay.map((window) => window?.settled));
    }
    for (let below = 0; below < level; below++) await this.#flush(below);
    await this.#proveCanary();
    if (this.#leaves !== blocks) throw didNotRun(`${this.#leaves} of ${blocks} blocks were hashed`);
    if (this.#outLength !== this.#out.length || scratch.isMarked(this.#out)) {
      throw didNotRun('its result was not written');
    }
    return this.#leaves;
  }

  /** Begins to hash the window at a block of the part; null past its end. */
  #startWindow(memory: HostMemory, start: number): UnderWay | null {
    const { windowBlocks, leaves } = this.#machine.scratch;
    const blocks = Math.min(windowBlocks, this.#part.blocks - start);
    if (blocks <= 0) return null;
    const buffer = leaves[(start / windowBlocks) % leaves.length];
    if (buffer === undefined) throw new Error('a scratch without room for leaves');
    const hashes = buffer.subarray(0, blocks * HASH_BYTES);
    const hashed = this.#hashWindow(memory, this.#part.firstBlock + start, blocks, hashes).then(() => ({
      end: start + blocks,
      hashes,
    }));
    return { hashed, settled: Promise.allSettled([hashed]) };
  }

  async #hashWindow(
    memory: HostMemory,
    firstBlock: number,
    blocks: number,
    output: Uint8Array,
  ): Promise<void> {
    const { kernels, scratch } = this.#machine;
    scratch.mark(output);
    let at = 0;
    for (const piece of memory.blocks(firstBlock, blocks)) {
      const length = (piece.length / BLOCK_BYTES) * HASH_BYTES;
      const count = await kernels.leaves(piece, output.subarray(at, at + length));
      this.#leaves += count;
      at += length;
    }
  }

  /** Passes on the hashes of a level: to the result if it is the requested level, else to the next level's input. */
  async #push(level: number, hashes: Uint8Array): Promise<void> {
    if (this.#machine.scratch.isMarked(hashes)) throw didNotRun(`hashes of level ${level} were not written`);
    const stage = this.#machine.scratch.stages[level];
    if (level === this.#part.level || stage === undefined) {
      this.#out.set(hashes, this.#outLength);
      this.#outLength += hashes.length;
      return;
    }
    for (let at = 0; at < hashes.length; ) {
      const used = this.#fill[level] ?? 0;
      const taken = Math.min(stage.length - used, hashes.length - at);
      stage.set(hashes.subarray(at, at + taken), used);
      this.#fill[level] = used + taken;
      at += taken;
      if (used + taken === stage.length) await this.#flush(level);
    }
  }

  /** Hashes the waiting hashes of `level` into the level above. */
  async #flush(level: number): Promise<void> {
    const { kernels, scratch } = this.#machine;
    const used = this.#fill[level] ?? 0;
    const input = scratch.stages[level]?.subarray(0, used);
    const output = scratch.nodes[level]?.subarray(0, Math.ceil(used / BLOCK_BYTES) * HASH_BYTES);
    if (used === 0 || input === undefined || output === undefined) return;
    this.#fill[level] = 0;
    scratch.mark(output);
    const count = await kernels.nodes(input, output);
    const expected = Math.ceil(used / HASH_BYTES / HASHES_PER_BLOCK);
    if (count !== expected)
      throw didNotRun(`${count} of ${expected} nodes of level ${level + 1} were hashed`);
    await this.#push(level + 1, output);
  }

  async #proveCanary(): Promise<void> {
    const { kernels, scratch } = this.#machine;
    const expected = await this.#machine.sha256(scratch.canary);
    const names = this.#part.level === 0 ? (['leaves'] as const) : (['leaves', 'nodes'] as const);
    for (const name of names) {
      scratch.mark(scratch.canaryHash);
      await kernels[name](scratch.canary, scratch.canaryHash);
      if (!scratch.canaryHash.every((byte, i) => byte === expected[i])) {
        throw didNotRun('the canary block was not hashed');
      }
    }
  }
}

function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 0);
  });
}

function didNotRun(what: string): VramError {
  return new VramError(
    'DEVICE_UNAVAILABLE',
    `the host device did not carry out the run: ${what}; nothing was verified`,
  );
}
