import { Serial, throwIfAborted, VramError } from '../../base/index.js';
import { BLOCK_BYTES, HASH_BYTES, HASHES_PER_BLOCK } from '../../digest/index.js';
import type { FillProbe } from '../known-answers.js';
import type { TreePart } from '../region-border.js';
import { type Batch, MAX_DISPATCHES, type Submitter } from './batch.js';
import { BufferUsage, VECTOR_BYTES } from './constants.js';
import type { GpuContext, Purpose } from './context.js';
import type { Kernels } from './kernels.js';
import { planTree, type ScratchShape, scratchShape, type TreeStep } from './plan.js';
import { type SealedRange, SLOT_BYTES, type Staging } from './staging.js';

/** Root (32 bytes), hashes counted (4), hash of the canary (32): the head of the state buffer, and all that a root brings back. */
const PROOF_BYTES = 68;
const COUNT_OFFSET = 32;
const CANARY_HASH_OFFSET = 36;
const CANARY_OFFSET = 80;
const STATE_BYTES = CANARY_OFFSET + BLOCK_BYTES;
const SLOT_VECTORS = HASH_BYTES / VECTOR_BYTES;

/** Submissions under way at a time: one runs while the next is encoded. */
const SUBMISSIONS = 2;
/** Nodes that one fetch brings back, besides their mark. */
const RESULT_NODES = SLOT_BYTES / HASH_BYTES - 1;

const PURPOSE: Purpose = { what: 'hashing in place' };

/** What a run is given. */
export interface TreeRequest {
  readonly part: TreePart;
  /** The wanted level has one node, and it is to come back with the proof. */
  readonly root: boolean;
  /** Sealed memory of consecutive whole blocks, one range a buffer. */
  ranges(firstBlock: number, blocks: number): readonly SealedRange[];
  readonly signal?: AbortSignal | undefined;
}

export interface TreeResult {
  /** Nodes of the wanted level; empty for a root. */
  readonly nodes: Uint8Array;
  /** The root; all zero unless asked for. */
  readonly root: Uint8Array;
}

/** The device's scratch pool and the runs in it, one at a time. */
export class TreeEngine {
  readonly byteLength: number;
  readonly #context: GpuContext;
  readonly #kernels: Kernels;
  readonly #submitter: Submitter;
  readonly #staging: Staging;
  readonly #shape: ScratchShape;
  readonly #scratch: GPUBuffer;
  readonly #state: GPUBuffer;
  readonly #work: GPUBindGroup;
  readonly #fill: GPUBindGroup;
  readonly #lock = new Serial();

  /** Called inside error scopes. */
  constructor(
    context: GpuContext,
    kernels: Kernels,
    submitter: Submitter,
    staging: Staging,
    windowBytes: number,
  ) {
    this.#context = context;
    this.#kernels = kernels;
    this.#submitter = submitter;
    this.#staging = staging;
    this.#shape = scratchShape(windowBytes);
    const { device } = context;
    const { STORAGE, COPY_SRC, COPY_DST } = BufferUsage;
    this.#scratch = device.createBuffer({
      label: 'scratch',
      size: this.#shape.byteLength,
      usage: STORAGE | COPY_SRC,
    });
    this.#state = device.createBuffer({
      label: 'state',
      size: STATE_BYTES,
      usage: STORAGE | COPY_SRC | COPY_DST,
    });
    this.byteLength = this.#shape.byteLength + STATE_BYTES;
    const params = submitter.paramsBinding;
    this.#work = device.createBindGroup({
      label: 'work',
      layout: kernels.workLayout,
      entries: [
        { binding: 0, resource: { buffer: this.#scratch } },
        { binding: 1, resource: { buffer: this.#state } },
        { binding: 2, resource: params },
      ],
    });
    this.#fill = device.createBindGroup({
      label: 'fill scratch',
      layout: kernels.fillLayout,
      entries: [
        { binding: 0, resource: { buffer: this.#scratch } },
        { binding: 1, resource: params },
      ],
    });
  }

  /** Errors: ABORTED, DEVICE_LOST; DEVICE_UNAVAILABLE unless the device shows that it hashed every block of this very run. */
  run(request: TreeRequest): Promise<TreeResult> {
    return this.#lock.run(async () => {
      throwIfAborted(request.signal);
      return await new TreeRun(request, this).execute();
    });
  }

  get shape(): ScratchShape {
    return this.#shape;
  }

  /** Starts a run: its pattern over every place that it will use, its canary and the start of its count in the state. */
  begin(run: { readonly pattern: Uint32Array; readonly state: Uint8Array }, part: TreePart): Promise<void> {
    const { device } = this.#context;
    return this.#submitter.submit(PURPOSE, (batch) => {
      device.queue.writeBuffer(this.#state, 0, new Uint8Array(run.state));
      let nodes = part.blocks;
      for (let level = 0; level <= part.level; level++) {
        const { markSlot, capacity } = this.#shape.levels[level] ?? { markSlot: 0, capacity: 0 };
        const slots = 1 + Math.min(capacity, nodes);
        this.#addFill(batch, run.pattern, markSlot * SLOT_VECTORS, slots * SLOT_VECTORS);
        nodes = Math.ceil(nodes / HASHES_PER_BLOCK);
      }
    }).accepted;
  }

  /** Fills the start of scratch for the known answers. Errors: DEVICE_UNAVAILABLE, DEVICE_LOST. */
  readonly probeFill: FillProbe = ({ vectors, ground, first, count, word }) =>
    this.#lock.run(async () => {
      const accepted = this.submit((batch) => {
        this.#addFill(batch, [ground, ground, ground, ground], 0, vectors);
        this.#addFill(batch, [word, word, word, word], first, count);
      });
      const [bytes] = await Promise.all([this.#fetch(this.#scratch, 0, vectors * VECTOR_BYTES), accepted]);
      return bytes;
    });

  #addFill(batch: Batch, pattern: Iterable<number>, first: number, count: number): void {
    batch.dispatch({
      pipeline: this.#kernels.fill,
      group: this.#fill,
      invocations: count,
      params: (row) => [...pattern, first, count, row],
    });
  }

  /** Adds the dispatches of a step; the canary goes through each. */
  add(batch: Batch, step: Exclude<TreeStep, { kind: 'result' }>, request: TreeRequest): void {
    const isRoot = request.root && step.isLast ? 1 : 0;
    if (step.kind === 'nodes') {
      const { count, outSlot, inSlot, inCount } = step;
      batch.dispatch({
        pipeline: this.#kernels.nodes,
        group: this.#work,
        invocations: count + 1,
        params: (row) => [count, outSlot, isRoot, row, inSlot, inCount],
      });
      return;
    }
    let outSlot = step.outSlot;
    for (const { buffer, offset, length } of request.ranges(step.firstBlock, step.count)) {
      const count = length / BLOCK_BYTES;
      const slot = outSlot;
      batch.dispatch({
        pipeline: this.#kernels.leaves,
        group: this.#work,
        second: this.#context.device.createBindGroup({
          label: 'window',
          layout: this.#kernels.sealedLayout,
          entries: [{ binding: 0, resource: { buffer, offset, size: length } }],
        }),
        invocations: count + 1,
        params: (row) => [count, slot, isRoot, row],
      });
      outSlot += count;
    }
  }

  submit(build: (batch: Batch) => void): Promise<void> {
    return this.#submitter.submit(PURPOSE, build).accepted;
  }

  /** Resolves when what was submitted so far has run. */
  idle(): Promise<void> {
    return this.#context.idle(PURPOSE);
  }

  fetchSlots(slot: number, count: number): Promise<Uint8Array> {
    return this.#fetch(this.#scratch, slot * HASH_BYTES, count * HASH_BYTES);
  }

  fetchProof(): Promise<Uint8Array> {
    return this.#fetch(this.#state, 0, PROOF_BYTES);
  }

  #fetch(from: GPUBuffer, fromOffset: number, byteLength: number): Promise<Uint8Array> {
    return this.#staging.fetch(PURPOSE, byteLength, (batch, slot) => {
      batch.copy({ from, fromOffset, to: slot.host, toOffset: 0, byteLength });
    });
  }

  destroy(): void {
    this.#scratch.destroy();
    this.#state.destroy();
  }
}

/** One run: what it must find at its end is known to the host alone. */
class TreeRun {
  readonly #request: TreeRequest;
  readonly #engine: TreeEngine;
  readonly #pattern = globalThis.crypto.getRandomValues(new Uint32Array(4));
  readonly #state = globalThis.crypto.getRandomValues(new Uint8Array(STATE_BYTES));
  readonly #nodes: Uint8Array[] = [];
  readonly #submitted: Promise<void>[] = [];
  #hashes = 0;
  #dispatches = 0;

  constructor(request: TreeRequest, engine: TreeEngine) {
    this.#request = request;
    this.#engine = engine;
  }

  async execute(): Promise<TreeResult> {
    try {
      await this.#compute();
      const proof = await this.#engine.fetchProof();
      await Promise.all(this.#submitted);
      await this.#prove(proof);
      return { root: proof.slice(0, HASH_BYTES), nodes: concatenate(this.#nodes) };
    } finally {
      // Those that failed after another failure have nothing to add to it.
      await Promise.allSettled(this.#submitted);
    }
  }

  async #compute(): Promise<void> {
    const { part, signal } = this.#request;
    const engine = this.#engine;
    this.#track(engine.begin({ pattern: this.#pattern, state: this.#state }, part));
    let steps: Exclude<TreeStep, { kind: 'result' }>[] = [];
    let blocks = 0;
    const running: Promise<void>[] = [];
    const flush = async (): Promise<void> => {
      if (steps.length === 0) return;
      if (running.length >= SUBMISSIONS) await running.shift();
      throwIfAborted(signal);
      const taken = steps;
      steps = [];
      blocks = 0;
      this.#track(
        engine.submit((batch) => {
          for (const step of taken) engine.add(batch, step, this.#request);
          this.#dispatches += batch.commands.length;
        }),
      );
      const done = engine.idle();
      running.push(done);
      this.#track(done);
    };
    const resultNodes = this.#request.root ? 1 : RESULT_NODES;
    for (const step of planTree(part, engine.shape, resultNodes)) {
      if (step.kind === 'result') {
        await flush();
        if (!this.#request.root) this.#nodes.push(await this.#result(step.markSlot, step.count));
        continue;
      }
      this.#hashes += step.count;
      // A window may lie in two buffers and then takes two dispatches.
      if (2 * (steps.length + 1) > MAX_DISPATCHES || blocks >= engine.shape.windowBlocks) await flush();
      steps.push(step);
      if (step.kind === 'leaves') blocks += step.count;
    }
    await flush();
  }

  #track(promise: Promise<void>): void {
    this.#submitted.push(promise);
    // Awaited at the end; until then a rejection is not unhandled.
    promise.catch(() => undefined);
  }

  async #result(markSlot: number, count: number): Promise<Uint8Array> {
    const bytes = await this.#engine.fetchSlots(markSlot, count + 1);
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
