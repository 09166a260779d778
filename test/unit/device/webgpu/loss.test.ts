import { describe, expect, it } from 'vitest';
import { xorshiftBytes } from '../../../../src/device/known-answers.js';
import type { Device } from '../../../../src/device/types.js';
import { adoptGpuDevice } from '../../../../src/device/webgpu/backend.js';
import { prepareVulkan, testWebGpuBackend } from '../../../support/vulkan.js';
import { captureBuffers, cryptoRoot, requestGpuDevice } from '../../../support/vulkan-device.js';

const { adapter } = await prepareVulkan();

async function open(): Promise<Device> {
  const backend = await testWebGpuBackend();
  if (backend === null) throw new Error('no WebGPU backend');
  return await backend.open(0);
}

describe.skipIf(adapter === 'host')(
  'WebGPU devices lost and closed (skipped without a WebGPU adapter)',
  () => {
    it('a lost device says so once, and everything after is DEVICE_LOST', async () => {
      const gpu = await requestGpuDevice();
      const device = await adoptGpuDevice(gpu);
      const filling = await device.allocate(5000);
      const region = await device.allocate(3_000_000);
      await region.freeze();
      const running = region.root();
      gpu.destroy();
      await expect(running).rejects.toMatchObject({ code: 'DEVICE_LOST' });
      expect(await device.lost).toMatchObject({ reason: 'lost' });
      await expect(filling.write(0, new Uint8Array(10))).rejects.toMatchObject({ code: 'DEVICE_LOST' });
      await expect(filling.freeze()).rejects.toMatchObject({ code: 'DEVICE_LOST' });
      await expect(region.root()).rejects.toMatchObject({ code: 'DEVICE_LOST' });
      await expect(region.nodes(0, 0, 1)).rejects.toMatchObject({ code: 'DEVICE_LOST' });
      await expect(region.read(0, 1)).rejects.toMatchObject({ code: 'DEVICE_LOST' });
      await expect(region.patch(0, new Uint8Array(4096))).rejects.toMatchObject({ code: 'DEVICE_LOST' });
      expect(() => region.view(0, 1)).toThrow(expect.objectContaining({ code: 'DEVICE_LOST' }));
      await expect(device.allocate(1)).rejects.toMatchObject({ code: 'DEVICE_LOST' });
      await expect(device.capacity()).rejects.toMatchObject({ code: 'DEVICE_LOST' });
      // It could not be overwritten; its accounting ends all the same.
      await expect(region.release()).rejects.toMatchObject({ code: 'RELEASE_FAILED' });
      await device.close();
      expect(device.stats()).toMatchObject({ liveRegions: 0, liveBytes: 0 });
    });

    it('work begun in the very turn of the loss ends as DEVICE_LOST, not with an answer', async () => {
      const gpu = await requestGpuDevice();
      const device = await adoptGpuDevice(gpu);
      const region = await device.allocate(5000);
      await region.freeze();
      gpu.destroy();
      const outcomes = await Promise.allSettled([region.root(), region.read(0, 10), device.allocate(10)]);
      for (const outcome of outcomes) {
        expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'DEVICE_LOST' } });
      }
      await device.close();
    });

    it('[MS-005] an adopted GPUDevice outlives close(), and what was made on it is given back', async () => {
      const gpu = await requestGpuDevice();
      const sealed = captureBuffers(gpu, 'sealed weights');
      const device = await adoptGpuDevice(gpu);
      const region = await device.allocate(5000);
      await device.close();
      await device.close();
      expect(await device.lost).toMatchObject({ reason: 'closed' });
      expect(device.stats()).toMatchObject({ liveRegions: 0, liveBytes: 0 });
      await expect(region.root()).rejects.toMatchObject({ code: 'NOT_FOUND' });
      await region.release();
      const again = await adoptGpuDevice(gpu);
      const other = await again.allocate(10);
      await other.write(0, xorshiftBytes(1, 10));
      await other.freeze();
      expect((await other.root()).root).toEqual(cryptoRoot(xorshiftBytes(1, 10)));
      await again.close();
      let lost = false;
      void gpu.lost.then(() => {
        lost = true;
      });
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(lost).toBe(false);
      expect(sealed.length).toBeGreaterThan(1);
      gpu.destroy();
    });

    it('two devices work at once, and closing one leaves the other', async () => {
      const [one, two] = await Promise.all([open(), open()]);
      const bytes = xorshiftBytes(6, 300_000);
      const seal = async (device: Device) => {
        const region = await device.allocate(bytes.length);
        await region.write(0, bytes);
        await region.freeze();
        return region;
      };
      const [first, second] = await Promise.all([seal(one), seal(two)]);
      const roots = await Promise.all([first.root(), second.root(), first.root()]);
      for (const { root } of roots) expect(root).toEqual(cryptoRoot(bytes));
      await one.close();
      expect((await second.root()).root).toEqual(cryptoRoot(bytes));
      await two.close();
    });
  },
);
