import { throwIfAborted, VramError } from '../../base/index.js';
import { BLOCK_BYTES, HASH_BYTES } from '../../digest/index.js';
import type { TreePart } from '../region-border.js';
import { type Batch, MAX_DISPATCHES } from './batch.js';
import { VECTOR_BYTES } from './constants.js';
import { planTree, type ScratchShape, type TreeStep } from './plan.js';
import { type SealedRange, SLOT_BYTES } from './staging.js';

/** Root (32 bytes), hashes counted (4), hash of the canary (32): the head of the state buffer, and all that a root brings back. */
export const PROOF_BYTES = 68;
const COUNT_OFFSET = 32;
const CANARY_HASH_OFFSET = 36;
const CANARY_OFFSET = 80;
export const STATE_BYTES = CANARY_OFFSET + BLOCK_BYTES;

/** Submissions under way at a time: one runs while the next is encoded. */
const SUBMISSIONS = 2;
/** Nodes that one fetch brings back, besides their mark. */
const RESULT_NODES = SLOT_BYTES / HASH_BYTES - 1;

/** What a run is given. */
export interface TreeRequest {
  readonly part: TreePart;
  /** The wanted level has one node, and it is to come back with the proof. */
  readonly root: boolean;
  /** Sealed memory of consecutive whole blocks, one range a buffer. */
  ranges(firstBlock: number, blocks: number): readonly SealedRange[];
  /** Ranges that one dispatch may hash: 1 for regions without cuts. */
  readonly rangesPerDispatch: number;
  readonly signal?: AbortSignal | undefined;
}

export interface TreeResult {
  /** Nodes of the wanted level; empty for a root. */
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

/** The device, as a run of the tree sees it. */
export interface TreeMachine {
  readonly shape: ScratchShape;
  /** Puts the run's pattern over every place that it will use, and its canary and the start of its count into the state. */
  begin(run: { readonly pattern: Uint32Array; readonly state: Uint8Array }, part: TreePart): Promise<void>;
  /** Adds a dispatch; the canary goes through each. */
  add(batch: Batch, job: TreeJob): void;
  submit(build: (batch: Batch) => void): Promise<void>;
  /** Resolves when what was submitted so far has run. */
  idle(): Promise<void>;
  fetchSlots(slot: number, count: number): Promise<Uint8Array>;
  fetchProof(): Promise<Uint8Array>;
}

/** One run: what it must find at its end is known to the host alone. */
export class TreeRun {
  readonly #request: TreeRequest;
  readonly #machine: TreeMachine;
  readonly #pattern = globalThis.crypto.getRandomValues(new Uint32Array(4));
  readonly #state = globalThis.crypto.getRandomValues(new Uint8Array(STATE_BYTES));
  readonly #nodes: Uint8Array[] = [];
  readonly #submitted: Promise<void>[] = [];
  #hashes = 0;
  #dispatches = 0;

  constructor(request: TreeRequest, machine: TreeMachine) {
    this.#request = request;
    this.#machine = machine;
  }

  async execute(): Promise<TreeResult> {
    try {
      await this.#compute();
      const proof = await this.#machine.fetchProof();
      await Promise.all(this.#submitted);
      await this.#prove(proof);
      return { root: proof.slice(0, HASH_BYTES), nodes: concatenate(this.#nodes) };
    } finally {
      // Those that failed after another failure have nothing to add to it.
      await Promise.allSettled(this.#submitted);
    }
  }

  async #compute(): Promise<void> {
    const { part, root, signal } = this.#request;
    const machine = this.#machine;
    this.#track(machine.begin({ pattern: this.#pattern, state: this.#state }, part));
    let jobs: TreeJob[] = [];
    let blocks = 0;
    const running: Promise<void>[] = [];
    const flush = async (): Promise<void> => {
      if (jobs.length === 0) return;
      if (running.length >= SUBMISSIONS) await running.shift();
      throwIfAborted(signal);
      const taken = jobs;
      jobs = [];
      blocks = 0;
      this.#dispatches += taken.length;
      this.#track(
        machine.submit((batch) => {
          for (const job of taken) machine.add(batch, job);
        }),
      );
      const done = machine.idle();
      running.push(done);
      this.#track(done);
    };
    for (const step of planTree(part, machine.shape, root ? 1 : RESULT_NODES)) {
      if (step.kind === 'result') {
        await flush();
        if (!root) this.#nodes.push(await this.#result(step.markSlot, step.count));
        continue;
      }
      this.#hashes += step.count;
      for (const job of this.#jobs(step)) {
        if (jobs.length === MAX_DISPATCHES || blocks >= machine.shape.windowBlocks) await flush();
        jobs.push(job);
        if (job.kind === 'leaves') blocks += job.count;
      }
    }
    await flush();
  }

  /** The dispatches of a step: leaves take one for each buffer that their window lies in, or for several buffers with cuts. */
  *#jobs(step: TreeWork): Generator<TreeJob> {
    const isRoot = this.#request.root && step.isLast;
    if (step.kind === 'nodes') {
      yield { ...step, isRoot };
      return;
    }
    const { rangesPerDispatch } = this.#request;
    const all = this.#request.ranges(step.firstBlock, step.count);
    let { outSlot } = step;
    for (let first = 0; first < all.length; first += rangesPerDispatch) {
      const ranges = all.slice(first, first + rangesPerDispatch);
      const count = ranges.reduce((sum, { length }) => sum + length, 0) / BLOCK_BYTES;
      yield { kind: 'leaves', ranges, count, outSlot, isRoot };
      outSlot += count;
    }
  }

  #track(promise: Promise<void>): void {
    this.#submitted.push(promise);
    // Awaited at the end; until then a rejection is not unhandled.
    promise.catch(() => undefined);
  }

  async #result(markSlot: number, count: number): Promise<Uint8Array> {
    const bytes = await this.#machine.fetchSlots(markSlot, count + 1);
    const mark = new Uint8Array(this.#pattern.buffer);
    const isMarked = bytes.subarray(0, HASH_BYTES).every((byte, i) => byte === mark[i % VECTOR_BYTES]);
    if (!isMarked) throw didNotRun('its nodes are not those of this run');
    return bytes.subarray(HASH_BYTES);
  }

  async #prove(proof: Uint8Array): Promise<void> {
    const read = (bytes: Uint8Array): number =>
      new DataView(bytes.buffer, bytes.byteOffset).getUint32(COUNT_OFFSET, true);
    const counted = (read(proof) - read(this.#state)) >>> 0;
    if (counted !== this.#hashes) {
      throw didNotRun(`${counted} of ${this.#hashes} hashes were counted on the device`);
    }
    const canary = this.#state.slice(CANARY_OFFSET, CANARY_OFFSET + BLOCK_BYTES);
    for (let i = 0; i < this.#dispatches; i++) {
      canary.set(new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', canary)));
    }
    const got = proof.subarray(CANARY_HASH_OFFSET, CANARY_HASH_OFFSET + HASH_BYTES);
    if (!got.every((byte, i) => byte === canary[i])) throw didNotRun('its canary block was not hashed');
  }
}

function didNotRun(what: string): VramError {
  return new VramError(
    'DEVICE_UNAVAILABLE',
    `the device did not carry out a run of the tree: ${what}; nothing was verified, try again`,
  );
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
