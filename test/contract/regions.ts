import { xorshiftBytes } from '../../src/device/known-answers.js';
import type { Device, Region } from '../../src/device/types.js';
import { BLOCK_BYTES } from '../../src/digest/types.js';
import type { ContractContext } from './context.js';

/** 48 blocks: windows that end inside a group of 128. */
export const SMALL_WINDOW = 48 * BLOCK_BYTES;

/** Repeatable data of the suite's own; never all zero. */
export function dataOf(seed: number, byteLength: number): Uint8Array {
  return xorshiftBytes(Math.imul(seed, 0x9e37_79b1) >>> 0 || 1, byteLength);
}

/** A frozen region with these bytes. */
export async function sealed(device: Device, bytes: Uint8Array): Promise<Region> {
  const region = await device.allocate(bytes.length);
  await region.write(0, bytes);
  await region.freeze();
  return region;
}

/** Gives the region to `work` and releases it afterwards, whatever happened. */
export async function using<T>(region: Region, work: (region: Region) => Promise<T>): Promise<T> {
  try {
    return await work(region);
  } finally {
    await region.release();
  }
}

/** The size, or a skip where the target cannot bear it. */
export function affordable(context: ContractContext, byteLength: number): number {
  if (byteLength > context.maxBytes) {
    context.skip(`${byteLength} bytes are too many for ${context.target.name}: at most ${context.maxBytes}`);
  }
  return byteLength;
}
