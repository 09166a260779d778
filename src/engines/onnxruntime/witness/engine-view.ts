import { Bindings } from './bindings.js';
import { Ledger, type SealedUse, type WatchedTensor } from './ledger.js';
import { proxied } from './proxied.js';
import { recordingEncoder, watchedGroups } from './recorder.js';

/**
 * The GPUDevice that an engine gets. It behaves like the device itself, and a witness counts what the engine's commands
 * do with sealed buffers. This library's own commands bypass it and are not counted.
 *
 * Commands that write or copy sealed memory, or bind it in a way the witness cannot judge, do not reach the device: they
 * are counted, and the engine's output buffers keep their old content.
 */
export class EngineView {
  /** The device to pass to the engine. The same object for the life of the view. */
  readonly device: GPUDevice;
  readonly #gpu: GPUDevice;
  readonly #bindings = new Bindings();
  readonly #recorded = new WeakMap<GPUCommandBuffer, readonly SealedUse[]>();
  readonly #verdicts = new Set<Promise<void>>();
  #ledger = new Ledger();
  #taken = false;

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
    this.device = this.#watchedDevice();
  }

  /** Whether the view's device was used: if not, the engine uses another device. */
  get taken(): boolean {
    return this.#taken;
  }

  /** Counts the uses of a buffer from now on. Returns the tensor under which ledgers count them. */
  watch(buffer: GPUBuffer, tensor: WatchedTensor): WatchedTensor {
    return this.#bindings.watch(buffer, tensor);
  }

  /** Ends the ledger of the run so far and begins a new one. */
  takeLedger(): Ledger {
    const ledger = this.#ledger;
    this.#ledger = new Ledger();
    return ledger;
  }

  /** Resolves once the device has accepted or refused everything that was submitted. */
  async settled(): Promise<void> {
    while (this.#verdicts.size > 0) await Promise.all(this.#verdicts);
  }

  #watchedDevice(): GPUDevice {
    const gpu = this.#gpu;
    const bindings = this.#bindings;
    const queue = this.#watchedQueue();
    return proxied(
      gpu,
      {
        queue,
        createBindGroupLayout: (descriptor) => {
          // Read once, so that the device gets exactly what is recorded.
          const copy = { ...descriptor, entries: [...descriptor.entries] };
          const layout = gpu.createBindGroupLayout(copy);
          bindings.layoutMade(layout, copy);
          return layout;
        },
        createPipelineLayout: (descriptor) => {
          const copy = { ...descriptor, bindGroupLayouts: [...descriptor.bindGroupLayouts] };
          const layout = gpu.createPipelineLayout(copy);
          bindings.pipelineLayoutMade(layout, copy.bindGroupLayouts.length);
          return layout;
        },
        createComputePipeline: (descriptor) => {
          const pipeline = gpu.createComputePipeline(descriptor);
          bindings.pipelineMade(pipeline, descriptor.layout);
          return pipeline;
        },
        createComputePipelineAsync: async (descriptor) => {
          const { layout } = descriptor;
          const pipeline = await gpu.createComputePipelineAsync(descriptor);
          bindings.pipelineMade(pipeline, layout);
          return pipeline;
        },
        createBindGroup: (descriptor) => {
          const copy = { ...descriptor, entries: [...descriptor.entries] };
          const group = gpu.createBindGroup(copy);
          bindings.groupMade(group, copy);
          return group;
        },
        createCommandEncoder: (descriptor) =>
          recordingEncoder(gpu.createCommandEncoder(descriptor), bindings, (commands, uses) => {
            this.#recorded.set(commands, uses);
          }),
        createRenderBundleEncoder: (descriptor) =>
          watchedGroups(gpu.createRenderBundleEncoder(descriptor), bindings, (uses) =>
            this.#ledger.add(uses),
          ),
        // The engine does not own the device.
        destroy: () => undefined,
      },
      {
        accessed: () => {
          this.#taken = true;
        },
      },
    );
  }

  #watchedQueue(): GPUQueue {
    const { queue } = this.#gpu;
    return proxied(
      queue,
      {
        submit: (commands: Iterable<GPUCommandBuffer>) => this.#submit([...commands]),
        writeBuffer: (buffer, offset, data, dataOffset, size) => {
          const copies = this.#bindings.copiesIn([buffer]);
          this.#ledger.add(copies);
          if (copies.length > 0) return;
          const { bytes, start, length } = uploadOf(data, dataOffset, size);
          queue.writeBuffer(buffer, offset, bytes, start, length);
        },
      },
      { called: (_, args) => this.#ledger.add(this.#bindings.copiesIn(args)) },
    );
  }

  #submit(commands: readonly GPUCommandBuffer[]): undefined {
    const ledger = this.#ledger;
    const uses = commands.flatMap((each) => this.#recorded.get(each) ?? []);
    const offences = uses.filter(({ access }) => access !== 'readOnly');
    if (offences.length > 0) {
      ledger.add(offences);
      return undefined;
    }
    // Push, submit and pop happen in one turn, so that no other scope comes between. Refused commands do not run at
    // all, and the device reports this only here.
    this.#gpu.pushErrorScope('validation');
    try {
      this.#gpu.queue.submit(commands);
    } finally {
      const verdict = this.#gpu.popErrorScope().then(
        (error) => (error === null ? ledger.add(uses) : ledger.refuseSubmit()),
        // The device is lost: nothing ran.
        () => ledger.refuseSubmit(),
      );
      this.#verdicts.add(verdict);
      void verdict.then(() => this.#verdicts.delete(verdict));
    }
    return undefined;
  }
}

/**
 * The bytes of an upload, copied from shared memory, which the engine uses and Dawn in Node refuses to read.
 */
function uploadOf(
  data: ArrayBufferView | ArrayBufferLike,
  dataOffset = 0,
  size?: number,
): { bytes: Uint8Array<ArrayBuffer>; start: number; length: number } {
  const view = ArrayBuffer.isView(data) ? data : new Uint8Array(data);
  // For typed arrays, offset and size count elements.
  const unit =
    'BYTES_PER_ELEMENT' in view && typeof view.BYTES_PER_ELEMENT === 'number' ? view.BYTES_PER_ELEMENT : 1;
  const from = dataOffset * unit;
  const length = size === undefined ? view.byteLength - from : size * unit;
  if (view.buffer instanceof ArrayBuffer) {
    return { bytes: new Uint8Array(view.buffer, view.byteOffset, view.byteLength), start: from, length };
  }
  return {
    bytes: new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice(from, from + length),
    start: 0,
    length,
  };
}
