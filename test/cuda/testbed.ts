import { describe, expect, it } from 'vitest';
import type { Device, OpenOptions, Region } from '../../src/device/types.js';
import type { EmulatorSettings, PresentTestbed } from '../support/cuda.js';
import { cudaTestbed } from '../support/cuda.js';

const bed = await cudaTestbed();

/** A group of tests over the test driver; where it cannot be built, one skipped test with the reason in its name. */
export function describeCuda(title: string, body: (bed: PresentTestbed) => void): void {
  describe(title, () => {
    if (bed.missing === null) body(bed);
    else it.skip(`NOT RUN: ${bed.missing}`);
  });
}

/** Opens a device on a fresh test driver, closes it afterwards, and expects that nothing is left behind. */
export async function withDevice<T>(
  { emulator, backend }: PresentTestbed,
  work: (device: Device) => Promise<T>,
  settings: EmulatorSettings = {},
  options: OpenOptions = {},
): Promise<T> {
  emulator.reset(settings);
  const device = await backend().open(0, options);
  try {
    return await work(device);
  } finally {
    await device.close();
    expect(emulator.liveAllocations().total).toBe(0);
    expect(emulator.freedUnwiped()).toBe(0);
  }
}

/** A frozen region with these bytes. */
export async function sealed(device: Device, bytes: Uint8Array): Promise<Region> {
  const region = await device.allocate(bytes.length);
  await region.write(0, bytes);
  await region.freeze();
  return region;
}

/** Index of the newest allocation of device memory. */
export function newestAllocation({ emulator }: PresentTestbed): number {
  return emulator.allocations().length - 1;
}
