import { Serial, throwIfAborted } from '../../base/index.js';
import { BLOCK_BYTES, HASH_BYTES } from '../../digest/index.js';
import { GatheredRuns } from '../gathered-runs.js';
import type { FillProbe } from '../known-answers.js';
import type { Batch, Submitter } from './batch.js';
import { BufferUsage, VECTOR_BYTES } from './constants.js';
import type { GpuContext, Purpose } from './context.js';
import { type Kernels, SCATTERED_BUFFERS, type ScatteredLeaves } from './kernels.js';
import { type ScratchShape, scratchShape } from './plan.js';
import { batchLimit, isSmallRoot, RootBatch } from './root-batch.js';
import { PROOF_BYTES, STATE_BYTES } from './run-proof.js';
import type { SealedRange, Staging } from './staging.js';
import {
  type ScratchFill,
  type TreeJob,
  type TreeMachine,
  type TreeRequest,
  type TreeResult,
  TreeRun,
} from './tree-run.js';

const SLOT_VECTORS = HASH_BYTES / VECTOR_BYTES;

const PURPOSE: Purpose = { what: 'hashing in place' };

/** The device's scratch pool and the runs in it, one at a time. */
export class TreeEngine implements TreeMachine {
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
  readonly #smallRoots: GatheredRuns<TreeRequest, TreeResult>;
  #scattered: ScatteredLeaves | null = null;

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
    this.#smallRoots = new GatheredRuns(this.#lock, batchLimit(this.#shape), (requests) =>
      this.#rootsOf(requests),
    );
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

  /**
   * Errors: ABORTED, DEVICE_LOST; DEVICE_UNAVAILABLE unless the device shows that it hashed every block of this very run.
   * Small roots that wait at the same time are computed together.
   */
  run(request: TreeRequest): Promise<TreeResult> {
    if (isSmallRoot(request)) return this.#smallRoots.run(request);
    return this.#lock.run(async () => {
      throwIfAborted(request.signal);
      return await new TreeRun(request, this).execute();
    });
  }

  async #rootsOf(requests: readonly TreeRequest[]): Promise<readonly TreeResult[]> {
    const [first] = requests;
    if (first !== undefined && requests.length === 1) return [await new TreeRun(first, this).execute()];
    return await new RootBatch(requests, this).execute();
  }

  /** From now on runs may hash several ranges in one dispatch. */
  useScattered(leaves: ScatteredLeaves): void {
    this.#scattered = leaves;
  }

  get shape(): ScratchShape {
    return this.#shape;
  }

  begin(state: Uint8Array, fills: readonly ScratchFill[]): Promise<void> {
    const { device } = this.#context;
    return this.#submitter.submit(PURPOSE, (batch) => {
      device.queue.writeBuffer(this.#state, 0, new Uint8Array(state));
      for (const { slot, slots, pattern } of fills) {
        this.#addFill(batch, pattern, slot * SLOT_VECTORS, slots * SLOT_VECTORS);
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

  add(batch: Batch, job: TreeJob): void {
    const { count, outSlot } = job;
    const isRoot = job.isRoot ? 1 : 0;
    if (job.kind === 'nodes') {
      const { inSlot, inCount } = job;
      batch.dispatch({
        pipeline: this.#kernels.nodes,
        group: this.#work,
        invocations: count + 1,
        params: (row) => [count, outSlot, isRoot, row, inSlot, inCount],
      });
      return;
    }
    const [range] = job.ranges;
    if (range !== undefined && job.ranges.length === 1) {
      batch.dispatch({
        pipeline: this.#kernels.leaves,
        group: this.#work,
        second: this.#windows(this.#kernels.sealedLayout, job.ranges),
        invocations: count + 1,
        params: (row) => [count, outSlot, isRoot, row],
      });
      return;
    }
    const scattered = this.#scattered;
    if (scattered === null) throw new TypeError('unreachable: regions with cuts wait for their shader');
    const begins = beginningBlocks(job.ranges);
    batch.dispatch({
      pipeline: scattered.pipeline,
      group: this.#work,
      second: this.#windows(scattered.layout, job.ranges),
      invocations: count + 1,
      params: (row) => [count, outSlot, isRoot, row, 0, 0, 0, 0, ...begins],
    });
  }

  /**
   * Read-only bindings of sealed memory; a layout with more bindings than ranges has the last one again, which is then not
   * read.
   */
  #windows(layout: GPUBindGroupLayout, ranges: readonly SealedRange[]): GPUBindGroup {
    const bindings = layout === this.#scattered?.layout ? SCATTERED_BUFFERS : 1;
    const entries: GPUBindGroupEntry[] = [];
    for (let binding = 0; binding < bindings; binding++) {
      const range = ranges[Math.min(binding, ranges.length - 1)];
      if (range === undefined) throw new TypeError('unreachable: a leaf dispatch has a range');
      const { buffer, offset, length: size } = range;
      entries.push({ binding, resource: { buffer, offset, size } });
    }
    return this.#context.device.createBindGroup({ label: 'window', layout, entries });
  }

  submit(build: (batch: Batch) => void): Promise<void> {
    return this.#submitter.submit(PURPOSE, build).accepted;
  }

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

/** The first block of each range, counted from the first range's; absent ranges begin after all others. */
function beginningBlocks(ranges: readonly SealedRange[]): readonly number[] {
  const begins: number[] = [];
  let blocks = 0;
  for (let i = 0; i < SCATTERED_BUFFERS; i++) {
    begins.push(blocks);
    blocks += (ranges[i]?.length ?? 0) / BLOCK_BYTES;
  }
  return begins;
}
