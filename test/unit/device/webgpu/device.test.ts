import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { xorshiftBytes } from '../../../../src/device/known-answers.js';
import type { Device } from '../../../../src/device/types.js';
import { adoptGpuDevice } from '../../../../src/device/webgpu/backend.js';
import { prepareVulkan, testWebGpuBackend } from '../../../support/vulkan.js';
import { captureBuffers, cryptoRoot, requestGpuDevice } from '../../../support/vulkan-device.js';

const { adapter } = await prepareVulkan();
const MiB = 1024 ** 2;
const GiB = 1024 ** 3;

async function open(options = {}): Promise<Device> {
  const backend = await testWebGpuBackend();
  if (backend === null) throw new Error('no WebGPU backend');
  return await backend.open(0, options);
}

describe.skipIf(adapter === 'host')('a WebGPU device (skipped without a WebGPU adapter)', () => {
  describe('writes, reads, healing and drills', () => {
    let device: Device;
    beforeAll(async () => {
      device = await open({ drills: true });
    });
    afterAll(() => device.close());

    it.skipIf(adapter === 'hardware')(
      `a region leaves no memory behind${adapter === 'hardware' ? ' (SKIPPED: a GPU’s memory is not the process’s)' : ''}`,
      async () => {
        const before = process.memoryUsage.rss();
        const region = await device.allocate(128 * MiB);
        await region.release();
        // The wipe has touched all of it.
        expect(process.memoryUsage.rss() - before).toBeLessThan(64 * MiB);
      },
    );

    it('[MS-007] bytes land at every offset and length, and nowhere else', async () => {
      const model = xorshiftBytes(1, 9001);
      const region = await device.allocate(model.length);
      await region.write(0, model);
      for (let offset = 0; offset < 36; offset++) {
        for (const length of [0, 1, 2, 3, 5, 15, 16, 17, 33]) {
          const piece = xorshiftBytes(100 + offset * 64 + length, length);
          const at = 4070 + offset;
          model.set(piece, at);
          await region.write(at, piece);
        }
      }
      expect(await region.read(0, model.length)).toEqual(model);
      for (const [offset, length] of [
        [0, 1],
        [1, 2],
        [15, 18],
        [4095, 2],
        [8999, 2],
        [9001, 0],
      ] as const) {
        expect(await region.read(offset, length)).toEqual(model.slice(offset, offset + length));
      }
      await region.freeze();
      expect((await region.root()).root).toEqual(cryptoRoot(model));
      await region.release();
    });

    it('overlapping calls are carried out in order', async () => {
      const region = await device.allocate(9 * 1024 * 1024 + 3);
      const last = xorshiftBytes(3, region.byteLength);
      const writes = [1, 2, 3].map((seed) => region.write(0, xorshiftBytes(seed, region.byteLength)));
      const tail = region.write(region.byteLength - 2, Uint8Array.of(1, 2));
      last.set([1, 2], region.byteLength - 2);
      const frozen = region.freeze();
      await Promise.all([...writes, tail, frozen]);
      expect(Buffer.compare(await region.read(0, region.byteLength), last)).toBe(0);
      await region.release();
    });

    it('a flip changes the root and healing its block restores it, also in the padding', async () => {
      const bytes = xorshiftBytes(2, 3 * 4096 + 100);
      const region = await device.allocate(bytes.length);
      await region.write(0, bytes);
      await region.freeze();
      const { root } = await region.root();
      for (const byte of [0, 4097, 3 * 4096 + 99, 4 * 4096 - 1]) {
        await region.faults?.flip(byte, 0x81);
        expect((await region.root()).root).not.toEqual(root);
        const block = Math.floor(byte / 4096);
        await region.patch(block, bytes.subarray(block * 4096, (block + 1) * 4096));
        expect((await region.root()).root).toEqual(root);
      }
      await expect(region.patch(3, new Uint8Array(4096))).rejects.toMatchObject({ code: 'INVALID_INPUT' });
      await region.release();
    });

    it('a region of more than a TiB is refused before the device is asked', async () => {
      await expect(device.allocate(2 ** 41)).rejects.toMatchObject({ code: 'ALLOCATION_FAILED' });
      await expect(device.allocate(0)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
      await expect(device.allocate(2 ** 53)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    });

    it('release waits for what is under way, and ends everything after', async () => {
      const bytes = xorshiftBytes(8, 2_000_000);
      const region = await device.allocate(bytes.length);
      await region.write(0, bytes);
      await region.freeze();
      const running = region.root();
      const released = region.release();
      expect((await running).root).toEqual(cryptoRoot(bytes));
      await released;
      await region.release();
      await expect(region.root()).rejects.toMatchObject({ code: 'NOT_FOUND' });
      await expect(region.freeze()).rejects.toMatchObject({ code: 'NOT_FOUND' });
      await expect(region.read(0, 1)).rejects.toMatchObject({ code: 'NOT_FOUND' });
      expect(() => region.view(0, 1)).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
    });
  });

  describe('[MS-002] errors of the device are typed', () => {
    it.skipIf(adapter !== 'swiftshader')(
      'real out-of-memory at 1 GiB (SwiftShader alone gives one) is INSUFFICIENT_VRAM with the bytes needed',
      async () => {
        const device = await open();
        await expect(device.allocate(GiB)).rejects.toMatchObject({
          code: 'INSUFFICIENT_VRAM',
          neededBytes: GiB,
          availableBytes: null,
        });
        expect(device.stats()).toMatchObject({ liveRegions: 0, liveBytes: 0 });
        const region = await device.allocate(10);
        await region.release();
        await device.close();
      },
    );

    it('a device of the caller’s that has no room for scratch keeps none of the buffers', async () => {
      const gpu = await requestGpuDevice();
      let made = 0;
      let destroyed = 0;
      let isFull = false;
      const createBuffer = gpu.createBuffer.bind(gpu);
      gpu.createBuffer = (descriptor) => {
        const buffer = createBuffer(descriptor);
        const destroy = buffer.destroy.bind(buffer);
        buffer.destroy = () => {
          destroyed++;
          destroy();
        };
        made++;
        isFull ||= descriptor.label === 'state';
        return buffer;
      };
      const scopes: GPUErrorFilter[] = [];
      const [push, pop] = [gpu.pushErrorScope.bind(gpu), gpu.popErrorScope.bind(gpu)];
      gpu.pushErrorScope = (filter) => {
        scopes.push(filter);
        push(filter);
      };
      gpu.popErrorScope = async () => {
        const filter = scopes.pop();
        await pop();
        return isFull && filter === 'out-of-memory' ? { message: 'full' } : null;
      };
      await expect(adoptGpuDevice(gpu)).rejects.toMatchObject({ code: 'INSUFFICIENT_VRAM' });
      expect(made).toBeGreaterThan(10);
      expect(destroyed).toBe(made);
      gpu.destroy();
    });

    describe('injected', () => {
      let gpu: GPUDevice;
      let device: Device;
      let sealed: GPUBuffer[];
      let armed: GPUErrorFilter | null = null;

      beforeAll(async () => {
        gpu = await requestGpuDevice();
        injectAllocationErrors();
        sealed = captureBuffers(gpu, 'sealed weights');
        device = await adoptGpuDevice(gpu);
      });
      afterAll(async () => {
        await device.close();
        gpu.destroy();
      });

      /** The armed kind of scope reports an error when the next sealed buffer is made inside it. */
      function injectAllocationErrors(): void {
        const pushed: GPUErrorFilter[] = [];
        const pushErrorScope = gpu.pushErrorScope.bind(gpu);
        const popErrorScope = gpu.popErrorScope.bind(gpu);
        const createBuffer = gpu.createBuffer.bind(gpu);
        let failing = false;
        gpu.pushErrorScope = (filter) => {
          pushed.push(filter);
          return pushErrorScope(filter);
        };
        gpu.createBuffer = (descriptor) => {
          if (armed !== null && descriptor.label === 'sealed weights') failing = true;
          return createBuffer(descriptor);
        };
        gpu.popErrorScope = async () => {
          const inject = pushed.pop() === armed && failing;
          if (inject) {
            failing = false;
            armed = null;
          }
          const error = await popErrorScope();
          return inject ? { message: 'injected' } : error;
        };
      }

      it.each([
        ['out-of-memory', 'INSUFFICIENT_VRAM'],
        ['validation', 'ALLOCATION_FAILED'],
        ['internal', 'ALLOCATION_FAILED'],
      ] as const)('%s while allocating is %s; nothing stays allocated', async (filter, code) => {
        armed = filter;
        // The refused allocation does not disturb what goes on beside it.
        const [refused, ...others] = await Promise.allSettled(
          [5000, 9000, 7000].map((n) => device.allocate(n)),
        );
        expect(refused).toMatchObject({ status: 'rejected', reason: { code, neededBytes: 8192 } });
        for (const other of others) {
          if (other.status === 'rejected') throw other.reason;
          await other.value.write(0, xorshiftBytes(1, 100));
          await other.value.freeze();
          await other.value.release();
        }
        expect(device.stats()).toMatchObject({ liveRegions: 0, liveBytes: 0 });
      });

      it('a run on a buffer that has gone is DEVICE_UNAVAILABLE, never an answer', async () => {
        sealed.length = 0;
        const region = await device.allocate(5000);
        await region.freeze();
        sealed[0]?.destroy();
        await expect(region.root()).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
        await expect(region.nodes(0, 0, 2)).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
        await expect(region.read(0, 10)).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
        await expect(region.release()).rejects.toMatchObject({ code: 'RELEASE_FAILED' });
        expect(device.stats()).toMatchObject({ liveRegions: 0, liveBytes: 0 });
      });
    });
  });
});
