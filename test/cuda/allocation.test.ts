import { expect, it } from 'vitest';
import { VramError } from '../../src/base/errors.js';
import { xorshiftBytes } from '../support/xorshift.js';
import { describeCuda, sealed, withDevice } from './testbed.js';

const MIB = 1024 * 1024;
const OUT_OF_MEMORY = 2;
const NOT_SUPPORTED = 801;

describeCuda('cuda: allocation', (bed) => {
  const { emulator, accounts } = bed;

  it('a region is one mapping of whole granules, and stats count it', async () => {
    await withDevice(bed, async (device) => {
      const before = accounts?.liveAllocations();
      const region = await device.allocate(3 * MIB);
      expect(region.allocatedBytes).toBe(4 * MIB);
      expect(device.allocationBytes(3 * MIB)).toBe(4 * MIB);
      expect(device.stats()).toMatchObject({ liveRegions: 1, liveBytes: 4 * MIB });
      const after = accounts?.liveAllocations();
      if (before !== undefined && after !== undefined) {
        expect([after.mappings - before.mappings, after.physical - before.physical]).toEqual([1, 1]);
      }
      await region.release();
      expect(accounts?.liveAllocations()).toEqual(before);
      expect(device.stats()).toMatchObject({ liveRegions: 0, liveBytes: 0 });
    });
  });

  it("the granularity is the driver's, not a constant", async () => {
    await withDevice(
      bed,
      async (device) => {
        expect(device.allocationBytes(1)).toBe(65_536);
        const region = await device.allocate(65_537);
        expect(region.allocatedBytes).toBe(131_072);
      },
      { granularity: 65_536 },
    );
  });

  it.each([
    ['mapped', {}],
    ['plain', { devices: [{ vmm: false }] }],
  ])('%s memory comes zero-filled, whatever the driver hands out', async (_kind, settings) => {
    await withDevice(
      bed,
      async (device) => {
        // A real driver may hand out what was given back just now.
        await (await sealed(device, xorshiftBytes(2, 10_000))).release();
        const region = await device.allocate(10_000);
        expect(await region.read(0, 10_000)).toEqual(new Uint8Array(10_000));
      },
      settings,
    );
  });

  it('freeze maps the region read-only, and asks the driver whether it did', async () => {
    await withDevice(bed, async (device) => {
      const region = await device.allocate(5000);
      const asked = accounts?.calls()['cuMemGetAccess'] ?? 0;
      expect(await region.freeze()).toBe('mmu-readonly');
      if (accounts !== null) expect((accounts.calls()['cuMemGetAccess'] ?? 0) - asked).toBe(1);
    });
  });

  it('without virtual memory management the memory is plain and the immutability api-only', async () => {
    await withDevice(
      bed,
      async (device) => {
        const region = await device.allocate(5000);
        expect(region.allocatedBytes).toBe(8192);
        expect(await region.freeze()).toBe('api-only');
        expect(emulator.calls()['cuMemCreate']).toBeUndefined();
      },
      { devices: [{ vmm: false }] },
    );
  });

  it('a driver that supports mappings but refuses to make one is taken at its word: plain memory', async () => {
    await withDevice(bed, async (device) => {
      emulator.failCall('cuMemCreate', 1, NOT_SUPPORTED);
      const region = await device.allocate(5000);
      expect(await region.freeze()).toBe('api-only');
    });
  });

  it('a driver that cannot map read-only leaves api-only, never a claim', async () => {
    await withDevice(bed, async (device) => {
      const region = await device.allocate(5000);
      emulator.failCall('cuMemSetAccess', 1, NOT_SUPPORTED);
      expect(await region.freeze()).toBe('api-only');
      await region.release();
    });
  });

  it('[VP-004] too little memory is refused before anything is asked of the driver, with both figures', async () => {
    await withDevice(bed, async (device) => {
      const created = accounts?.calls()['cuMemCreate'];
      const { freeBytes, totalBytes } = await device.capacity();
      // The runtime's own scratch is gone from it: all of the device is always too much.
      const neededBytes = device.allocationBytes(totalBytes ?? 0);
      const refusal: unknown = await device.allocate(neededBytes).catch((error: unknown) => error);
      if (!(refusal instanceof VramError)) throw new Error('all of the device was given');
      expect(refusal).toMatchObject({ code: 'INSUFFICIENT_VRAM', neededBytes });
      const told = refusal.availableBytes ?? Number.NaN;
      expect(Math.abs(told - (freeBytes ?? Number.NaN))).toBeLessThanOrEqual(bed.slackBytes);
      expect(accounts?.calls()['cuMemCreate']).toBe(created);
    });
  });

  it("the driver's own out-of-memory has the same code, and names the driver's result", async () => {
    await withDevice(bed, async (device) => {
      emulator.failCall('cuMemCreate', 1, OUT_OF_MEMORY);
      await expect(device.allocate(5000)).rejects.toMatchObject({
        code: 'INSUFFICIENT_VRAM',
        neededBytes: 2 * MIB,
        message: expect.stringContaining('CUDA_ERROR_OUT_OF_MEMORY'),
      });
      expect(device.stats()).toMatchObject({ liveRegions: 0, liveBytes: 0 });
      await (await device.allocate(5000)).release();
    });
  });

  it('[MS-003] sizes of zero, above 2^53 - 1 and no integers are refused before the driver is asked', async () => {
    await withDevice(bed, async (device) => {
      const before = accounts?.calls();
      for (const size of [0, -1, 1.5, Number.NaN, 2 ** 53, Number.MAX_SAFE_INTEGER]) {
        await expect(device.allocate(size)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
      }
      expect(accounts?.calls()).toEqual(before);
    });
  });

  it('[MS-008] release overwrites with zeros first, read-only mappings too; closing does the same', async () => {
    await withDevice(bed, async (device) => {
      const freed = emulator.freed();
      const region = await sealed(device, xorshiftBytes(3, 300_000));
      await region.release();
      expect(emulator.freed() - freed).toBe(1);
      expect(emulator.freedUnwiped()).toBe(0);
      await sealed(device, xorshiftBytes(4, 300_000));
    });
    expect(emulator.freedUnwiped()).toBe(0);
  });
});
