import { invalidInput } from '../../base/index.js';
import { BLOCK_BYTES } from '../../digest/index.js';
import type { CutLimits } from '../types.js';
import { MAX_DISPATCHES, type Submitter } from './batch.js';
import { BufferUsage, VECTOR_BYTES } from './constants.js';
import type { GpuContext, Purpose } from './context.js';
import type { Kernels } from './kernels.js';
import type { SealedRange } from './staging.js';

/** Buffers requested before the device's verdict is awaited, which bounds the cost of a refusal. */
const UNCONFIRMED_BYTES = 64 * 1024 * 1024;

/** The parts of a device that fill memory. */
interface Filler {
  readonly context: GpuContext;
  readonly kernels: Kernels;
  readonly submitter: Submitter;
}

/** Lengths of a region's buffers without cuts: as few as the device allows. */
export function evenLengths(totalBytes: number, largest: number): number[] {
  const lengths: number[] = [];
  for (let left = totalBytes; left > 0; left -= largest) lengths.push(Math.min(left, largest));
  return lengths;
}

/** One buffer for each cut, up to the next. Errors: INVALID_INPUT with the figures of the buffer that is too large. */
export function cutLengths(totalBytes: number, cuts: readonly number[], limits: CutLimits): number[] {
  if (cuts.length > limits.maxBuffers) {
    throw invalidInput('cuts', `requires ${cuts.length} buffers; a region has at most ${limits.maxBuffers}`);
  }
  return cuts.map((cut, index) => {
    const length = (cuts[index + 1] ?? totalBytes) - cut;
    if (length > limits.maxRunBytes) {
      throw invalidInput(
        `cuts[${index}]`,
        `requires a buffer of ${length} bytes; a buffer of this device holds at most ${limits.maxRunBytes}`,
      );
    }
    return length;
  });
}

/**
 * Sealed buffers of these lengths, whole blocks each, the last block of each zeroed. On failure all are released.
 * Errors: INSUFFICIENT_VRAM, ALLOCATION_FAILED, DEVICE_LOST.
 */
export async function createBuffers(
  owner: Filler,
  lengths: readonly number[],
  purpose: Purpose,
): Promise<GPUBuffer[]> {
  const { context } = owner;
  const buffers: GPUBuffer[] = [];
  try {
    for (const some of portions(lengths)) {
      const first = buffers.length;
      await context.guarded(purpose, () => {
        for (const size of some) buffers.push(createBuffer(context, size));
      });
      // Writes to the memory, so that a driver that allocates lazily fails here, and zeros the padding of the last block.
      await fillZeros(
        owner,
        purpose,
        buffers
          .slice(first)
          .map((buffer) => ({ buffer, offset: buffer.size - BLOCK_BYTES, length: BLOCK_BYTES })),
      );
    }
    await context.idle(purpose);
    return buffers;
  } catch (error) {
    await context.free(buffers);
    throw error;
  }
}

function createBuffer(context: GpuContext, size: number): GPUBuffer {
  return context.device.createBuffer({ label: 'sealed weights', size, usage: BufferUsage.STORAGE });
}

function* portions(lengths: readonly number[]): Generator<readonly number[]> {
  let some: number[] = [];
  let bytes = 0;
  for (const length of lengths) {
    if (some.length === MAX_DISPATCHES || (some.length > 0 && bytes + length > UNCONFIRMED_BYTES)) {
      yield some;
      some = [];
      bytes = 0;
    }
    some.push(length);
    bytes += length;
  }
  if (some.length > 0) yield some;
}

/** Overwrites whole buffers with zeros. Resolves when done. */
export async function wipeBuffers(owner: Filler, buffers: readonly GPUBuffer[]): Promise<void> {
  const purpose = { what: 'overwriting with zeros' };
  for (let first = 0; first < buffers.length; first += MAX_DISPATCHES) {
    const some = buffers.slice(first, first + MAX_DISPATCHES);
    await fillZeros(
      owner,
      purpose,
      some.map((buffer) => ({ buffer, offset: 0, length: buffer.size })),
    );
  }
  await owner.context.idle(purpose);
}

/** Submits zeros over ranges of whole vectors, at most MAX_DISPATCHES of them. */
async function fillZeros(owner: Filler, purpose: Purpose, ranges: readonly SealedRange[]): Promise<void> {
  await owner.submitter.submit(purpose, (batch) => {
    for (const { buffer, offset, length } of ranges) {
      const group = owner.context.device.createBindGroup({
        label: 'fill',
        layout: owner.kernels.fillLayout,
        entries: [
          { binding: 0, resource: { buffer } },
          { binding: 1, resource: owner.submitter.paramsBinding },
        ],
      });
      const [first, count] = [offset / VECTOR_BYTES, length / VECTOR_BYTES];
      batch.dispatch({
        pipeline: owner.kernels.fill,
        group,
        invocations: count,
        params: (row) => [0, 0, 0, 0, first, count, row],
      });
    }
  }).accepted;
}
