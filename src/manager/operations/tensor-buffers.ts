import { invalidInput, type VramError } from '../../base/index.js';
import type { DeviceBinding } from '../../device/index.js';
import { quoted, type TensorManifest } from '../../models/index.js';

/** Finds the buffers of a shard's tensors by their names. */
export class TensorBuffers {
  readonly #manifest: TensorManifest | null;
  readonly #cuts: readonly number[] | null;
  /** Offset of each tensor, and the index of each cut by its offset; built at first use. */
  #places: {
    readonly offsets: ReadonlyMap<string, number>;
    readonly buffers: ReadonlyMap<number, number>;
  } | null = null;

  constructor(manifest: TensorManifest | null, cuts: readonly number[] | null) {
    this.#manifest = manifest;
    this.#cuts = cuts;
  }

  /** Errors: INVALID_INPUT. */
  of(tensor: string, binding: DeviceBinding): GPUBuffer {
    if (this.#manifest === null || this.#cuts === null) {
      throw refuse('has no buffer: the shard was sealed as bytes, not from a tensorSource()');
    }
    if (binding.kind !== 'webgpu') {
      throw refuse(`has no buffer: on this device (${binding.kind}) all tensors are one mapping`);
    }
    const { offsets, buffers } = this.#placesIn(this.#manifest, this.#cuts);
    const offset = typeof tensor === 'string' ? offsets.get(tensor) : undefined;
    if (offset === undefined) throw refuse('names no tensor of this shard');
    const index = buffers.get(offset);
    if (index === undefined) {
      throw refuse(
        `is ${quoted(tensor)}, which shares a buffer with others: bind it with bindings(), or seal with smaller minBytes`,
      );
    }
    return binding.bufferAt(index);
  }

  #placesIn({ tensors }: TensorManifest, cuts: readonly number[]) {
    this.#places ??= {
      offsets: new Map(tensors.map(({ name, offset }) => [name, offset])),
      buffers: new Map(cuts.map((cut, index) => [cut, index])),
    };
    return this.#places;
  }
}

function refuse(problem: string): VramError {
  return invalidInput('tensor', problem);
}
