import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { xorshiftBytes } from '../../../../src/device/known-answers.js';
import type { Device, Region } from '../../../../src/device/types.js';
import { prepareVulkan, testWebGpuBackend } from '../../../support/vulkan.js';
import { cryptoRoot, cryptoTree } from '../../../support/vulkan-device.js';

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
      async (size) => {
        // Windows of one block take a dispatch each: two groups of them are enough.
        const byteLength = options.windowBytes === 4096 ? Math.min(size, 524_289) : size;
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
      // Windows of one block take a dispatch each: a smaller tree does.
      const groups = options.windowBytes === 4096 ? 1 : 3;
      const bytes = xorshiftBytes(77, groups * 524_288 + 8193);
      const tree = cryptoTree(bytes);
      const region = await frozen(device, bytes);
      for (const [level, hashes] of tree.entries()) {
        const count = hashes.length / 32;
        expect(await region.nodes(level, 0, count)).toEqual(hashes);
        const last = count - 1;
        expect(await region.nodes(level, last, 1)).toEqual(hashes.subarray(32 * last));
      }
      expect(await region.nodes(0, 127, 3)).toEqual(tree[0]?.slice(127 * 32, 130 * 32));
      expect(await region.nodes(1, 1, 1)).toEqual(tree[1]?.slice(32, 64));
      await region.release();
    });
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

    it('of a root is the root (32), the count (4) and the canary (32), nothing more', async () => {
      expect(await readback(() => region.root())).toBe(68);
    });

    it('of nodes is the nodes, their mark (32) and the proof (68)', async () => {
      expect(await readback(() => region.nodes(0, 3, 100))).toBe(3200 + 100);
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
