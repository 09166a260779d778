import { describe, expect, it } from 'vitest';
import type { DeviceHandle } from '../../src/device/cuda/addon.js';
import type { Device, OpenOptions, Region } from '../../src/device/types.js';
import type { EmulatorSettings, PresentTestbed } from '../support/cuda.js';
import { cudaTestbed } from '../support/cuda.js';

const bed = await cudaTestbed();

/** A group of tests; where the test driver cannot be built, one skipped test with the reason in its name. */
export function describeCuda(title: string, body: (bed: PresentTestbed) => void): void {
  describe(title, () => {
    if (bed.missing === null) body(bed);
    else it.skip(`NOT RUN: ${bed.missing}`);
  });
}

/** The test driver's library, for tests of the file itself. */
export function testDriverPath({ libraryPath }: PresentTestbed): string {
  if (libraryPath === null) throw new Error('this test is about the test driver, and runs over it alone');
  return libraryPath;
}

/** Opens the device on a fresh test driver, or on the real one as it is, and closes it afterwards. */
export async function withOpenDevice<T>(
  bed: PresentTestbed,
  work: (device: Device) => Promise<T>,
  settings: EmulatorSettings = {},
  options: OpenOptions = {},
): Promise<T> {
  bed.emulator.reset(settings);
  const device = await bed.backend().open(bed.index, options);
  try {
    return await work(device);
  } finally {
    await device.close();
  }
}

/** The same, and expects that nothing is left behind. */
export async function withDevice<T>(
  bed: PresentTestbed,
  work: (device: Device) => Promise<T>,
  settings: EmulatorSettings = {},
  options: OpenOptions = {},
): Promise<T> {
  const result = await withOpenDevice(bed, work, settings, options);
  expect(await bed.leftBehind()).toBeNull();
  return result;
}

/** A device of the addon itself, below the backend; closed afterwards. */
export async function withAddonDevice<T>(
  bed: PresentTestbed,
  stagingBytes: number,
  work: (device: DeviceHandle) => Promise<T>,
): Promise<T> {
  const { addon } = bed;
  bed.emulator.reset();
  const device = await addon.open(await addon.load(bed.libraryPath), bed.index, stagingBytes);
  try {
    return await work(device);
  } finally {
    await addon.close(device);
  }
}

/** A frozen region with these bytes. */
export async function sealed(device: Device, bytes: Uint8Array): Promise<Region> {
  const region = await device.allocate(bytes.length);
  await region.write(0, bytes);
  await region.freeze();
  return region;
}

/** Flips bits of the newest region: through the test driver, else through the fault port of a device opened with drills. */
export async function flip(bed: PresentTestbed, region: Region, byte: number, mask: number): Promise<void> {
  if (bed.accounts !== null) return bed.emulator.flip(newestAllocation(bed), byte, mask);
  if (region.faults === null) throw new Error('the device was opened without drills');
  await region.faults.flip(byte, mask);
}

/** The newest region's first bytes as they lie in device memory; on a real driver as it reads them back. */
export async function bytesInDevice(
  bed: PresentTestbed,
  region: Region,
  length: number,
): Promise<Uint8Array> {
  const { accounts } = bed;
  return accounts === null ? await region.read(0, length) : accounts.peek(newestAllocation(bed), 0, length);
}

/** Index of the newest allocation of device memory. */
export function newestAllocation({ emulator }: PresentTestbed): number {
  return emulator.allocations().length - 1;
}
