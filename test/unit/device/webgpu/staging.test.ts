import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { xorshiftBytes } from '../../../../src/device/known-answers.js';
import type { Device } from '../../../../src/device/types.js';
import { adoptGpuDevice } from '../../../../src/device/webgpu/backend.js';
import { prepareVulkan } from '../../../support/vulkan.js';
import { captureBuffers, lookInside, requestGpuDevice } from '../../../support/vulkan-device.js';

const { adapter } = await prepareVulkan();
const MAP_READ = 0x1;
/** Not a whole number of vectors, and neither the begin nor the end of one. */
const OFFSET = 4096 + 5;
const LENGTH = 70_003;

describe.skipIf(adapter === 'host')('WebGPU staging buffers (skipped without a WebGPU adapter)', () => {
  let gpu: GPUDevice;
  let device: Device;
  const buffers = new Map<string, GPUBuffer[]>();
  /** What the upload buffers were last mapped to. */
  const mapped = new Map<GPUBuffer, Uint8Array>();

  beforeAll(async () => {
    gpu = await requestGpuDevice();
    for (const label of ['upload (host)', 'upload (device)', 'download (host)', 'download (device)'])
      buffers.set(label, captureBuffers(gpu, label));
    const createBuffer = gpu.createBuffer.bind(gpu);
    gpu.createBuffer = (descriptor) => {
      const buffer = createBuffer(descriptor);
      const getMappedRange = buffer.getMappedRange.bind(buffer);
      buffer.getMappedRange = (offset, size) => {
        const range = getMappedRange(offset, size);
        mapped.set(buffer, new Uint8Array(range));
        return range;
      };
      return buffer;
    };
    device = await adoptGpuDevice(gpu);
  });
  afterAll(async () => {
    await device.close();
    gpu.destroy();
  });

  const weights = xorshiftBytes(11, LENGTH);
  /** Not "all zeros": hashes of the tree travel through some of these buffers, and are not secret. */
  function expectNoWeights(memory: Uint8Array | undefined): void {
    if (memory === undefined || memory.length === 0) throw new Error('nothing to look at');
    const inside = Buffer.from(memory.buffer, memory.byteOffset, memory.length);
    for (let at = 0; at + 16 <= LENGTH; at += 1024) {
      expect(inside.includes(Buffer.from(weights.subarray(at, at + 16)))).toBe(false);
    }
  }

  const labelled = (label: string): readonly GPUBuffer[] => {
    const found = buffers.get(label) ?? [];
    expect(found.length).toBeGreaterThan(0);
    return found;
  };

  async function expectAllWiped(): Promise<void> {
    await gpu.queue.onSubmittedWorkDone();
    for (const host of labelled('upload (host)')) {
      await expect.poll(() => host.mapState).toBe('mapped');
      expectNoWeights(mapped.get(host));
    }
    for (const host of labelled('download (host)')) {
      await host.mapAsync(MAP_READ);
      expectNoWeights(new Uint8Array(host.getMappedRange()));
      host.unmap();
    }
    for (const label of ['upload (device)', 'download (device)']) {
      for (const buffer of labelled(label)) {
        expectNoWeights(await lookInside(gpu, buffer, buffer.size));
      }
    }
  }

  it('[VP-003] hold no weights once a write or a readback is done', async () => {
    const region = await device.allocate(OFFSET + LENGTH);
    await region.write(OFFSET, weights);
    await expectAllWiped();
    await region.freeze();
    expect(await region.read(OFFSET, LENGTH)).toEqual(weights);
    await expectAllWiped();
    await region.release();
  });
});
