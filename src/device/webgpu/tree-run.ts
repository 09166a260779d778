import { throwIfAborted } from '../../base/index.js';
import { BLOCK_BYTES, HASH_BYTES, HASHES_PER_BLOCK } from '../../digest/index.js';
import type { TreePart } from '../region-checks.js';
import type { RunWatch } from '../root-progress.js';
import { type Batch, MAX_DISPATCHES } from './batch.js';
import { planTree, type ScratchShape, type TreeStep } from './plan.js';
import { RunProof } from './run-proof.js';
import { type SealedRange, SLOT_BYTES } from './staging.js';

/** Submissions under way at a time: one executes while the next is encoded. */
const SUBMISSIONS = 2;
/** Nodes that one fetch brings back, besides their mark. */
const RESULT_NODES = SLOT_BYTES / HASH_BYTES - 1;

/** The parameters of a run. */
export interface TreeRequest extends RunWatch {
  readonly part: TreePart;
  /** The requested level has one node, and it is to come back with the proof. */
  readonly root: boolean;
  /** Sealed memory of consecutive whole blocks, one range a buffer. */
  ranges(firstBlock: number, blocks: number): readonly SealedRange[];
  /** Ranges that one dispatch may hash: 1 for regions without cuts. */
  readonly rangesPerDispatch: number;
}

export interface TreeResult {
  /** Nodes of the requested level; empty for a root. */
  readonly nodes: Uint8Array;
  /** The root; all zero unless asked for. */
  readonly root: Uint8Array;
}

type TreeWork = Exclude<TreeStep, { kind: 'result' }>;

/** One dispatch. `count` hashes go to consecutive slots from `outSlot` on; `isRoot`: the only one is the tree's root. */
export type TreeJob = { readonly count: number; readonly outSlot: number; readonly isRoot: boolean } & (
  | { readonly kind: 'leaves'; readonly ranges: readonly SealedRange[] }
  | { readonly kind: 'nodes'; readonly inSlot: number; readonly inCount: number }
);

/** Consecutive slots of 32 bytes of the scratch pool, and the vector that fills them. */
export interface ScratchFill {
  readonly slot: number;
  readonly slots: number;
  readonly pattern: Uint32Array;
}

/** The interface of the device for a tree run. */
export interface TreeMachine {
  readonly shape: ScratchShape;
  /** Fills every place that the run will use, and puts its canary and the start of its count into the state. */
  begin(state: Uint8Array, fills: readonly ScratchFill[]): Promise<void>;
  /** Adds a dispatch; the canary goes through each. */
  add(batch: Batch, job: TreeJob): void;
  submit(build: (batch: Batch) => void): Promise<void>;
  /** Resolves when what was submitted so far has run. */
  idle(): Promise<void>;
  fetchSlots(slot: number, count: number): Promise<Uint8Array>;
  fetchProof(): Promise<Uint8Array>;
}

/** One run over a part of one region's tree. */
export class TreeRun {
  readonly #request: TreeRequest;
  readonly #machine: TreeMachine;
  readonly #proof = new RunProof();
  readonly #nodes: Uint8Array[] = [];
  readonly #submitted: Promise<void>[] = [];

  constructor(request: TreeRequest, machine: TreeMachine) {
    this.#request = request;
    this.#machine = machine;
  }

  async execute(): Promise<TreeResult> {
    try {
      await this.#compute();
      const proof = await this.#machine.fetchProof();
      await Promise.all(this.#submitted);
      await this.#proof.check(proof);
      return { root: proof.slice(0, HASH_BYTES), nodes: concatenate(this.#nodes) };
    } finally {
      // Only the first failure is reported.
      await Promise.allSettled(this.#submitted);
    }
  }

  async #compute(): Promise<void> {
    const { part, root, signal, onHashed } = this.#request;
    const machine = this.#machine;
    this.#track(machine.begin(this.#proof.state, this.#fills(part)));
    let jobs: TreeJob[] = [];
    let blocks = 0;
    let hashed = 0;
    const running: Promise<void>[] = [];
    const flush = async (): Promise<void> => {
      if (jobs.length === 0) return;
      if (running.length >= SUBMISSIONS) await running.shift();
      throwIfAborted(signal);
      const taken = jobs;
      hashed += blocks;
      const behind = hashed;
      jobs = [];
      blocks = 0;
      this.#proof.dispatches += taken.length;
      this.#track(
        machine.submit((batch) => {
          for (const job of taken) machine.add(batch, job);
        }),
      );
      const done = machine.idle().then(() => onHashed?.(behind));
      running.push(done);
      this.#track(done);
    };
    for (const step of planTree(part, machine.shape, root ? 1 : RESULT_NODES)) {
      if (step.kind === 'result') {
        await flush();
        if (!root) {
          const slots = await machine.fetchSlots(step.markSlot, step.count + 1);
          this.#nodes.push(this.#proof.behindMark(slots));
        }
        continue;
      }
      this.#proof.hashes += step.count;
      for (const job of this.#jobs(step)) {
        if (jobs.length === MAX_DISPATCHES || blocks >= machine.shape.windowBlocks) await flush();
        jobs.push(job);
        if (job.kind === 'leaves') blocks += job.count;
      }
    }
    await flush();
  }

  /** Marks and slots of all levels that the run uses. */
  #fills({ blocks, level: last }: TreePart): ScratchFill[] {
    const fills: ScratchFill[] = [];
    let nodes = blocks;
    for (const { markSlot, capacity } of this.#machine.shape.levels.slice(0, last + 1)) {
      fills.push({ slot: markSlot, slots: 1 + Math.min(capacity, nodes), pattern: this.#proof.pattern });
      nodes = Math.ceil(nodes / HASHES_PER_BLOCK);
    }
    return fills;
  }

  /**
   * The dispatches of a step: leaves take one for each buffer that their window lies in, or for several buffers with cuts.
   */
  *#jobs(step: TreeWork): Generator<TreeJob> {
    const isRoot = this.#request.root && step.isLast;
    if (step.kind === 'nodes') yield { ...step, isRoot };
    else yield* leafJobs(this.#request, step, isRoot);
  }

  #track(promise: Promise<void>): void {
    this.#submitted.push(promise);
    // Awaited at the end; until then this marks a rejection as handled.
    promise.catch(() => undefined);
  }
}

/** Dispatches that hash consecutive blocks of a region into consecutive slots: as few as its buffers allow. */
export function* leafJobs(
  { ranges, rangesPerDispatch }: Pick<TreeRequest, 'ranges' | 'rangesPerDispatch'>,
  {
    firstBlock,
    count: blocks,
    outSlot: firstSlot,
  }: Pick<TreeWork & { kind: 'leaves' }, 'firstBlock' | 'count' | 'outSlot'>,
  isRoot: boolean,
): Generator<TreeJob> {
  const all = ranges(firstBlock, blocks);
  let outSlot = firstSlot;
  for (let first = 0; first < all.length; first += rangesPerDispatch) {
    const some = all.slice(first, first + rangesPerDispatch);
    const count = some.reduce((sum, { length }) => sum + length, 0) / BLOCK_BYTES;
    yield { kind: 'leaves', ranges: some, count, outSlot, isRoot };
    outSlot += count;
  }
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts;
  if (only !== undefined && parts.length === 1) return only.slice();
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
