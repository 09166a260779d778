import { HASH_BYTES, HASHES_PER_BLOCK } from '../../digest/index.js';
import { MAX_DISPATCHES } from './batch.js';
import type { ScratchShape } from './plan.js';
import { RunProof } from './run-proof.js';
import {
  leafJobs,
  type ScratchFill,
  type TreeJob,
  type TreeMachine,
  type TreeRequest,
  type TreeResult,
} from './tree-run.js';

/** Limit of one batch: with more regions a lease would wait longer for the device. */
const MAX_REGIONS = 128;
const ZEROS = new Uint32Array(4);

/** Whether a run can join a batch: the root of a region with one node above its leaves, or with a single leaf. */
export function isSmallRoot({ root, part }: TreeRequest): boolean {
  return root && part.blocks <= HASHES_PER_BLOCK;
}

/** How many small roots fit into the scratch pool at once. */
export function batchLimit({ levels }: ScratchShape): number {
  return Math.min(MAX_REGIONS, Math.floor((levels[0]?.capacity ?? 0) / HASHES_PER_BLOCK));
}

/**
 * The roots of small regions in one run, which pays the fixed cost of a run once: its preparation and the wait for its
 * result. Each region has 128 slots for its leaves, zeros after the last; one dispatch hashes all of them.
 */
export class RootBatch {
  readonly #requests: readonly TreeRequest[];
  /** Regions with more than one block first: one dispatch computes their roots from their leaves. */
  readonly #placed: readonly TreeRequest[];
  readonly #trees: number;
  readonly #machine: TreeMachine;
  readonly #proof = new RunProof();
  readonly #submitted: Promise<void>[] = [];

  /** At most batchLimit(). */
  constructor(requests: readonly TreeRequest[], machine: TreeMachine) {
    const trees = requests.filter(({ part }) => part.blocks > 1);
    this.#requests = requests;
    this.#placed = [...trees, ...requests.filter(({ part }) => part.blocks === 1)];
    this.#trees = trees.length;
    this.#machine = machine;
  }

  /** In the order of the requests. Errors: as for one run; then no root of the batch counts. */
  async execute(): Promise<readonly TreeResult[]> {
    try {
      this.#submit();
      const slots = await this.#machine.fetchSlots(this.#rootSlot - 1, this.#placed.length + 1);
      const proof = await this.#machine.fetchProof();
      await Promise.all(this.#submitted);
      await this.#proof.check(proof);
      return this.#results(this.#proof.behindMark(slots));
    } finally {
      // Only the first failure is reported.
      await Promise.allSettled(this.#submitted);
    }
  }

  #submit(): void {
    const jobs = [...this.#jobs()];
    this.#proof.dispatches = jobs.length;
    this.#proof.hashes = jobs.reduce((sum, { count }) => sum + count, 0);
    this.#track(this.#machine.begin(this.#proof.state, this.#fills()));
    for (let first = 0; first < jobs.length; first += MAX_DISPATCHES) {
      const some = jobs.slice(first, first + MAX_DISPATCHES);
      this.#track(
        this.#machine.submit((batch) => {
          for (const job of some) this.#machine.add(batch, job);
        }),
      );
    }
  }

  #track(promise: Promise<void>): void {
    this.#submitted.push(promise);
    // Awaited at the end; until then this marks a rejection as handled.
    promise.catch(() => undefined);
  }

  #results(roots: Uint8Array): TreeResult[] {
    const offsets = new Map(this.#placed.map((request, index) => [request, index * HASH_BYTES]));
    return this.#requests.map((request) => {
      const at = offsets.get(request) ?? 0;
      return { root: roots.slice(at, at + HASH_BYTES), nodes: new Uint8Array() };
    });
  }

  *#jobs(): Generator<TreeJob> {
    for (const [index, request] of this.#placed.entries()) {
      const { blocks } = request.part;
      const outSlot = blocks > 1 ? this.#leafSlot + index * HASHES_PER_BLOCK : this.#rootSlot + index;
      yield* leafJobs(request, { firstBlock: 0, count: blocks, outSlot }, false);
    }
    const count = this.#trees;
    if (count === 0) return;
    const inCount = count * HASHES_PER_BLOCK;
    yield { kind: 'nodes', inSlot: this.#leafSlot, inCount, count, outSlot: this.#rootSlot, isRoot: false };
  }

  #fills(): ScratchFill[] {
    const roots = { slot: this.#rootSlot - 1, slots: 1 + this.#placed.length, pattern: this.#proof.pattern };
    const slots = this.#trees * HASHES_PER_BLOCK;
    return slots === 0 ? [roots] : [{ slot: this.#leafSlot, slots, pattern: ZEROS }, roots];
  }

  get #leafSlot(): number {
    return this.#slotBehindMark(0);
  }

  get #rootSlot(): number {
    return this.#slotBehindMark(1);
  }

  #slotBehindMark(level: number): number {
    return (this.#machine.shape.levels[level]?.markSlot ?? 0) + 1;
  }
}
