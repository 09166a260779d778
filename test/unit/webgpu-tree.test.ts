import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { xorshiftBytes } from '../../src/device/known-answers.js';
import type { Device, Region } from '../../src/device/types.js';
import { adoptGpuDevice } from '../../src/device/webgpu/index.js';
import { prepareVulkan, testWebGpuBackend } from '../support/vulkan.js';
import {
  captureBuffers,
  cryptoRoot,
  cryptoTree,
  intercept,
  lookInside,
  lowerLimits,
  requestGpuDevice,
} from '../support/vulkan-device.js';

const { adapter } = await prepareVulkan();
const KiB = 1024;
const MiB = KiB * KiB;

async function frozen(device: Device, bytes: Uint8Array): Promise<Region> {
  const region = await device.allocate(bytes.length);
  await region.write(0, bytes);
  await region.freeze();
  return region;
}

describe.skipIf(adapter === 'host')('hashing in place on WebGPU (skipped without a WebGPU adapter)', () => {
  describe.each([
    { name: 'default windows', options: {} },
    { name: 'windows of one block', options: { windowBytes: 4096 } },
    { name: 'windows of 300,000 bytes', options: { windowBytes: 300_000 } },
  ])('with $name', ({ options }) => {
    let device: Device;
    beforeAll(async () => {
      const backend = await testWebGpuBackend();
      if (backend === null) throw new Error('no WebGPU backend');
      device = await backend.open(0, options);
    });
    afterAll(() => device.close());

    it.each([1, 31, 4095, 4096, 4097, 524_288, 524_289, 1_100_007])(
      '[CI-004] the root of %i bytes is that of the host, with its count of blocks',
      async (byteLength) => {
        const bytes = xorshiftBytes(byteLength, byteLength);
        const region = await frozen(device, bytes);
        expect(await region.root()).toEqual({
          root: cryptoRoot(bytes),
          blocks: Math.ceil(byteLength / 4096),
        });
        await region.release();
      },
    );

    it('nodes of every level and place are those of the host', async () => {
      const bytes = xorshiftBytes(77, 3 * 524_288 + 4097);
      const tree = cryptoTree(bytes);
      const region = await frozen(device, bytes);
      for (const [level, hashes] of tree.entries()) {
        const count = hashes.length / 32;
        expect(await region.nodes(level, 0, count)).toEqual(hashes);
        const last = count - 1;
        expect(await region.nodes(level, last, 1)).toEqual(hashes.subarray(32 * last));
      }
      expect(await region.nodes(0, 127, 130)).toEqual(tree[0]?.slice(127 * 32, 257 * 32));
      expect(await region.nodes(1, 1, 2)).toEqual(tree[1]?.slice(32, 96));
      await region.release();
    });
  });

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

  it('leaves too go on in the second dimension', async () => {
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
  });

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

  describe('what comes back', () => {
    let device: Device;
    let region: Region;
    const bytes = xorshiftBytes(21, MiB + 5);
    beforeAll(async () => {
      const backend = await testWebGpuBackend();
      if (backend === null) throw new Error('no WebGPU backend');
      device = await backend.open(0);
      region = await frozen(device, bytes);
    });
    afterAll(() => device.close());

    async function readback(work: () => Promise<unknown>): Promise<number> {
      const before = device.stats().readbackBytes;
      await work();
      return device.stats().readbackBytes - before;
    }

    it('of a root is the root (32), the count (8) and the canary (32), nothing more', async () => {
      expect(await readback(() => region.root())).toBe(72);
    });

    it('of nodes is the nodes, their mark (32) and the proof (72)', async () => {
      expect(await readback(() => region.nodes(0, 3, 100))).toBe(3200 + 104);
    });

    it('of read() is counted', async () => {
      expect(await readback(() => region.read(16, 1000))).toBe(1000);
    });

    it('scratch is reserved at open and does not grow', async () => {
      const { scratchBytes } = device.stats();
      await Promise.all([region.root(), region.nodes(0, 0, 200), region.root()]);
      expect(device.stats().scratchBytes).toBe(scratchBytes);
      expect(scratchBytes).toBeLessThan(64 * MiB);
    });

    it('an aborted run is ABORTED, and the next one is right', async () => {
      const controller = new AbortController();
      const run = region.root({ signal: controller.signal });
      controller.abort();
      await expect(run).rejects.toMatchObject({ code: 'ABORTED' });
      expect((await region.root()).root).toEqual(cryptoRoot(bytes));
    });
  });
});
