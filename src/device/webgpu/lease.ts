import { checkInteger, invalidInput, VramError } from '../../base/index.js';
import type { ByteRange, WebGpuBinding } from '../types.js';
import type { GpuContext } from './context.js';
import type { SealedRange } from './staging.js';

/** A whole buffer of a region with cuts, and which bytes of the region it holds. */
export interface LeasedBuffer {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly length: number;
}

/** The interface of a region for its leases. */
export interface LeasedRegion {
  readonly context: GpuContext;
  readonly layout: GPUBindGroupLayout;
  /** Throws NOT_FOUND once the region is released, DEVICE_LOST once the device is. */
  check(): void;
  ranges(offset: number, length: number): readonly SealedRange[];
  /** By the index of their cut; null where the region was allocated without cuts. */
  readonly buffers: readonly LeasedBuffer[] | null;
}

/**
 * Read-only bindings to leased bytes. The layout is the runtime's: WebGPU refuses pipelines that would write through it,
 * and those with an automatic layout.
 */
export class WebGpuLease implements WebGpuBinding {
  readonly kind = 'webgpu';
  readonly byteLength: number;
  readonly #region: LeasedRegion;
  readonly #offset: number;
  #ended = false;

  constructor(region: LeasedRegion, offset: number, length: number) {
    this.#region = region;
    this.#offset = offset;
    this.byteLength = length;
  }

  get device(): GPUDevice {
    this.#check();
    return this.#region.context.device;
  }

  get layout(): GPUBindGroupLayout {
    this.#check();
    return this.#region.layout;
  }

  bindings(range: ByteRange = { offset: 0, length: this.byteLength }): ReturnType<WebGpuBinding['bindings']> {
    this.#check();
    if (typeof range !== 'object' || range === null) throw invalidInput('range', 'must be an object');
    const offset = checkInteger('offset', range.offset, 0, this.byteLength);
    const length = checkInteger('length', range.length, 0, this.byteLength - offset);
    const { context, layout } = this.#region;
    const alignment = context.device.limits.minStorageBufferOffsetAlignment;
    return this.#region.ranges(this.#offset + offset, length).map((part) => {
      const byteOffset = part.offset % alignment;
      const first = part.offset - byteOffset;
      // Storage bindings are whole words; the memory extends to the end of the padded block.
      const size = Math.ceil((byteOffset + part.length) / 4) * 4;
      const group = context.device.createBindGroup({
        label: 'leased weights',
        layout,
        entries: [{ binding: 0, resource: { buffer: part.buffer, offset: first, size } }],
      });
      return { group, byteOffset, byteLength: part.length };
    });
  }

  bufferAt(index: number): GPUBuffer {
    this.#check();
    const { buffers } = this.#region;
    if (buffers === null) throw invalidInput('index', 'needs a region that was allocated with cuts');
    const found = buffers[checkInteger('index', index, 0, buffers.length - 1)];
    const end = this.#offset + this.byteLength;
    if (found === undefined || found.offset < this.#offset || found.offset + found.length > end) {
      throw invalidInput('index', `names a buffer that this lease does not hold in full: ${index}`);
    }
    return found.buffer;
  }

  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#region.context.idle({ what: 'the work of a lease' });
  }

  #check(): void {
    if (this.#ended) throw new VramError('NOT_FOUND', 'this lease has ended');
    this.#region.check();
  }
}
