import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Device } from '../../../../src/device/types.js';
import { prepareVulkan, testWebGpuBackend } from '../../../support/vulkan.js';

const { adapter } = await prepareVulkan();

/** Where the count of hashed blocks begins in a run's state, and how large the state is at least (work.wgsl, "State"). */
const COUNT_OFFSET = 32;
const STATE_BYTES = 4096;

describe.skipIf(adapter === 'host')('[CI-010] the count of a run (skipped without a WebGPU adapter)', () => {
  let device: Device;
  beforeAll(async () => {
    const backend = await testWebGpuBackend();
    if (backend === null) throw new Error('no WebGPU');
    device = await backend.open(0);
    return async () => await device.close();
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it.each([0xfffffffb, 0xfffffffd, 0xffffffff])('wraps: from %i', async (start) => {
    let states = 0;
    const random = globalThis.crypto.getRandomValues.bind(globalThis.crypto);
    vi.spyOn(globalThis.crypto, 'getRandomValues').mockImplementation((array) => {
      random(array);
      if (array instanceof Uint8Array && array.length > STATE_BYTES) {
        const view = new DataView(array.buffer, array.byteOffset);
        view.setUint32(COUNT_OFFSET, start, true);
        states++;
      }
      return array;
    });
    const region = await device.allocate(5 * 4096);
    await region.freeze();
    expect((await region.root()).blocks).toBe(5);
    expect(states).toBeGreaterThan(0);
    await region.release();
  });
});
