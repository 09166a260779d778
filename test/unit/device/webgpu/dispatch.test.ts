import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { xorshiftBytes } from '../../../../src/device/known-answers.js';
import type { Device, Region } from '../../../../src/device/types.js';
import { adoptGpuDevice } from '../../../../src/device/webgpu/backend.js';
import { prepareVulkan } from '../../../support/vulkan.js';
import {
  captureBuffers,
  cryptoRoot,
  cryptoTree,
  intercept,
  lookInside,
  lowerLimits,
  requestGpuDevice,
} from '../../../support/vulkan-device.js';

const { adapter } = await prepareVulkan();
const MiB = 1024 * 1024;

async function frozen(device: Device, bytes: Uint8Array): Promise<Region> {
  const region = await device.allocate(bytes.length);
  await region.write(0, bytes);
  await region.freeze();
  return region;
}

describe.skipIf(adapter === 'host')('dispatches of WebGPU (skipped without a WebGPU adapter)', () => {
  describe('on a device whose limits are small', () => {
    let gpu: GPUDevice;
    let device: Device;
    let sealed: GPUBuffer[];
    const grids: [string, number, number][] = [];
    beforeAll(async () => {
      gpu = await requestGpuDevice();
      lowerLimits(gpu, { maxComputeWorkgroupsPerDimension: 300, maxBufferSize: MiB });
      sealed = captureBuffers(gpu, 'sealed weights');
      intercept(gpu, {
        dispatch: (pipeline, x, y) => {
          grids.push([pipeline, x, y]);
          return [x, y];
        },
      });
      device = await adoptGpuDevice(gpu);
    });
    afterAll(async () => {
      await device.close();
      gpu.destroy();
    });

    it('regions take several buffers, and dispatches go on in the second dimension', async () => {
      const bytes = xorshiftBytes(5, 2 * MiB + 524_288 + 11);
      sealed.length = 0;
      grids.length = 0;
      const region = await frozen(device, bytes);
      expect(sealed.map(({ size }) => size)).toEqual([MiB, MiB, 524_288 + 4096]);
      expect(await region.root()).toEqual({ root: cryptoRoot(bytes), blocks: 641 });
      expect(await region.nodes(0, 200, 400)).toEqual(cryptoTree(bytes)[0]?.slice(200 * 32, 600 * 32));
      expect(Buffer.compare(await region.read(0, bytes.length), bytes)).toBe(0);
      await region.release();
      const twoDimensional = grids.filter(([, , rows]) => rows > 1).map(([pipeline]) => pipeline);
      expect(new Set(twoDimensional)).toEqual(new Set(['copy', 'fill']));
      expect(Math.max(...grids.map(([, columns]) => columns))).toBeLessThanOrEqual(300);
    });
  });

  it('small buffers that cuts made are hashed six in a dispatch; one that is left out refuses the run', async () => {
    const gpu = await requestGpuDevice();
    let leaves = 0;
    let left = 0;
    intercept(gpu, {
      dispatch: (pipeline, x, y) => {
        if (!pipeline.includes('leaves')) return [x, y];
        leaves++;
        return leaves === left ? null : [x, y];
      },
    });
    const device = await adoptGpuDevice(gpu);
    const bytes = xorshiftBytes(7, 200 * 4096 - 5);
    const cuts = Array.from({ length: 200 }, (_, index) => index * 4096);
    const region = await device.allocate(bytes.length, { cuts });
    await region.write(0, bytes);
    await region.freeze();
    leaves = 0;
    expect(await region.root()).toEqual({ root: cryptoRoot(bytes), blocks: 200 });
    expect(leaves).toBe(34);
    [leaves, left] = [0, 20];
    await expect(region.root()).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    await region.release();
    await device.close();
    gpu.destroy();
  });

  it.skipIf(adapter === 'swiftshader')(
    'leaves too go on in the second dimension (64 MiB: not on SwiftShader)',
    async () => {
      const gpu = await requestGpuDevice();
      // 16,384 blocks and the canary need 257 workgroups; the wipe of as many bytes just fits 256 x 256.
      lowerLimits(gpu, { maxComputeWorkgroupsPerDimension: 256 });
      const grids: [number, number][] = [];
      intercept(gpu, {
        dispatch: (pipeline, x, y) => {
          if (pipeline === 'leaves') grids.push([x, y]);
          return [x, y];
        },
      });
      const device = await adoptGpuDevice(gpu, gpu.adapterInfo, { windowBytes: 64 * MiB });
      const bytes = new Uint8Array(64 * MiB);
      const ends = xorshiftBytes(6, 8192);
      const region = await device.allocate(bytes.length);
      for (const at of [0, 32 * MiB, bytes.length - 8192]) {
        bytes.set(ends, at);
        await region.write(at, ends);
      }
      await region.freeze();
      expect(await region.root()).toEqual({ root: cryptoRoot(bytes), blocks: 16_384 });
      expect(grids.at(-1)).toEqual([129, 2]);
      await region.release();
      await device.close();
      gpu.destroy();
    },
  );

  it('more than 65,535 workgroups wipe a region whole', async () => {
    const gpu = await requestGpuDevice();
    const sealed = captureBuffers(gpu, 'sealed weights');
    const grids: [number, number][] = [];
    const device = await adoptGpuDevice(gpu);
    intercept(gpu, {
      dispatch: (pipeline, x, y) => {
        if (pipeline === 'fill') grids.push([x, y]);
        return [x, y];
      },
    });
    const byteLength = 65_536 * 1024 + 4096;
    sealed.length = 0;
    const region = await device.allocate(byteLength);
    const ends = xorshiftBytes(3, 8192);
    await region.write(0, ends);
    await region.write(byteLength - 8192, ends);
    await region.freeze();
    expect(await region.read(byteLength - 8192, 8192)).toEqual(ends);
    const [buffer] = sealed;
    if (buffer === undefined || sealed.length !== 1) throw new Error('expected one sealed buffer');
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => undefined;
    await region.release();
    expect(grids.at(-1)).toEqual([32_770, 2]);
    const inside = await lookInside(gpu, buffer, byteLength);
    expect(inside.every((byte) => byte === 0)).toBe(true);
    destroy();
    await device.close();
    gpu.destroy();
  });
});
