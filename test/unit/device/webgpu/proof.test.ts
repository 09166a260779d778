import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { xorshiftBytes } from '../../../../src/device/known-answers.js';
import type { Device, Region } from '../../../../src/device/types.js';
import { adoptGpuDevice } from '../../../../src/device/webgpu/backend.js';
import { prepareVulkan } from '../../../support/vulkan.js';
import type { Interception } from '../../../support/vulkan-device.js';
import { cryptoRoot, intercept, requestGpuDevice } from '../../../support/vulkan-device.js';

const { adapter } = await prepareVulkan();
/** With 64 invocations a workgroup the canary of the leaves is then alone in the last one. */
const BLOCKS = 192;

describe.skipIf(adapter === 'host')(
  '[CI-010] a run that did not happen (skipped without a WebGPU adapter)',
  () => {
    let gpu: GPUDevice;
    let device: Device;
    let region: Region;
    let fault: Interception = {};
    const bytes = xorshiftBytes(4, BLOCKS * 4096);

    beforeAll(async () => {
      gpu = await requestGpuDevice();
      intercept(gpu, {
        dispatch: (pipeline, x, y) =>
          fault.dispatch === undefined ? [x, y] : fault.dispatch(pipeline, x, y),
        copies: (from, to) => fault.copies?.(from, to) ?? true,
      });
      device = await adoptGpuDevice(gpu);
      region = await device.allocate(bytes.length);
      await region.write(0, bytes);
      await region.freeze();
    });
    beforeEach(() => {
      fault = {};
    });
    afterAll(async () => {
      fault = {};
      await device.close();
      gpu.destroy();
    });

    async function rejected(run: () => Promise<unknown>, message: RegExp): Promise<void> {
      await expect(run()).rejects.toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message: expect.stringMatching(message),
      });
      fault = {};
      expect((await region.root()).root).toEqual(cryptoRoot(bytes));
    }

    it.each(['leaves', 'nodes'])('with the dispatch of %s skipped is found by its count', async (skipped) => {
      await region.root();
      fault = { dispatch: (pipeline, x, y) => (pipeline === skipped ? null : [x, y]) };
      await rejected(() => region.root(), /hashes were counted/);
    });

    it('with a part of the blocks left out is found by its count', async () => {
      fault = { dispatch: (pipeline, x, y) => (pipeline === 'leaves' ? [x - 2, y] : [x, y]) };
      await rejected(() => region.root(), /131 of 195 hashes were counted/);
    });

    it('with all dispatches skipped is found, though scratch still holds the right hashes of the run before', async () => {
      await region.root();
      fault = { dispatch: () => null };
      await rejected(() => region.root(), /0 of \d+ hashes were counted/);
      await region.nodes(0, 0, BLOCKS);
      fault = { dispatch: () => null };
      await rejected(() => region.nodes(0, 0, BLOCKS), /not those of this run/);
    });

    it('with a stale root, whose result was not copied, is found', async () => {
      await region.root();
      fault = { copies: (from) => from !== 'state' };
      await rejected(() => region.root(), /hashes were counted/);
    });

    it('with stale nodes, which were not copied, is found', async () => {
      await region.nodes(0, 0, BLOCKS);
      fault = { copies: (from) => from !== 'scratch' };
      await rejected(() => region.nodes(0, 0, BLOCKS), /not those of this run/);
    });

    async function deadCanary(pipeline: string, run: () => Promise<unknown>): Promise<void> {
      fault = { dispatch: (each, x, y) => (each === pipeline ? [x - 1, y] : [x, y]) };
      await rejected(run, /canary block was not hashed/);
    }

    it('with a dead canary in the dispatch of leaves is found, though all is counted', async () => {
      await deadCanary('leaves', () => region.nodes(0, 0, BLOCKS));
    });

    it.skipIf(adapter === 'swiftshader')(
      'with a dead canary in the dispatch of nodes is found, though all is counted (32 MiB: not on SwiftShader)',
      async () => {
        // 64 nodes fill a workgroup; nothing has to be written for that.
        const many = await device.allocate(64 * 524_288);
        await many.freeze();
        await deadCanary('nodes', () => many.nodes(1, 0, 64));
        await many.release();
      },
    );

    it('among small roots that are computed together is found for each of them', async () => {
      // 64 leaves fill a workgroup, so that the canary is alone in the next.
      const sizes = [64, 64, 1].map((blocks) => blocks * 4096);
      const small = await Promise.all(
        sizes.map(async (byteLength) => {
          const each = await device.allocate(byteLength);
          await each.write(0, bytes.subarray(0, byteLength));
          await each.freeze();
          return each;
        }),
      );
      const roots = () => Promise.allSettled(small.map((each) => each.root()));
      const faults: readonly (readonly [Interception, RegExp])[] = [
        [{ dispatch: (pipeline, x, y) => (pipeline === 'nodes' ? null : [x, y]) }, /129 of 131 hashes were/],
        [
          { dispatch: (pipeline, x, y) => (pipeline === 'leaves' ? [x - 1, y] : [x, y]) },
          /canary block|counted/,
        ],
        [{ dispatch: () => null }, /0 of 131 hashes were/],
        [{ copies: (from) => from !== 'scratch' }, /not those of this run/],
        [{ copies: (from) => from !== 'state' }, /hashes were counted/],
      ];
      for (const [each, message] of faults) {
        await roots();
        fault = each;
        for (const outcome of await roots()) {
          expect(outcome).toMatchObject({
            status: 'rejected',
            reason: { code: 'DEVICE_UNAVAILABLE', message: expect.stringMatching(message) },
          });
        }
        fault = {};
      }
      for (const [index, outcome] of (await roots()).entries()) {
        const root = cryptoRoot(bytes.subarray(0, sizes[index]));
        expect(outcome).toMatchObject({ status: 'fulfilled', value: { root } });
      }
      for (const each of small) await each.release();
    });

    it('with a broken kernel never opens: one wrong round constant', async () => {
      const other = await requestGpuDevice();
      const createShaderModule = other.createShaderModule.bind(other);
      let broken = 0;
      other.createShaderModule = (descriptor) => {
        const code = descriptor.code.replace(/0x428a2f98u/g, '0x428a2f99u');
        if (code !== descriptor.code) broken++;
        return createShaderModule({ ...descriptor, code });
      };
      await expect(adoptGpuDevice(other)).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
      expect(broken).toBe(2);
      other.destroy();
    });

    it('with a kernel that hashes the canary but not the weights never opens (CI-011)', async () => {
      const other = await requestGpuDevice();
      const createShaderModule = other.createShaderModule.bind(other);
      other.createShaderModule = (descriptor) =>
        createShaderModule({
          ...descriptor,
          code: descriptor.code.replace(
            'return weights[block * 256u + index];',
            'return vec4<u32>(weights[0].x * 0u);',
          ),
        });
      await expect(adoptGpuDevice(other)).rejects.toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message: expect.stringMatching(/known-answer/),
      });
      other.destroy();
    });
  },
);
