import { expect, it } from 'vitest';
import type { CudaArgument, CudaBinding, Region } from '../../src/device/types.js';
import { xorshiftBytes } from '../support/xorshift.js';
import { ADD, STORE } from './programs.js';
import {
  describeCuda,
  newestAllocation,
  sealed,
  withAddonDevice,
  withDevice,
  withOpenDevice,
} from './testbed.js';

const BLOCK = 4096;

function bind(region: Region, offset: number, length: number): CudaBinding {
  const binding = region.view(offset, length);
  if (binding.kind !== 'cuda') throw new Error('not a CUDA binding');
  return binding;
}

function add(binding: CudaBinding, args: readonly CudaArgument[], threads = 16): Promise<void> {
  return binding.launch({ module: ADD, entry: 'add', grid: [1, 1, 1], block: [threads, 1, 1], args });
}

describeCuda('cuda: bounds', (bed) => {
  const { addon, emulator, accounts } = bed;

  it('[MS-007] the addon itself refuses every range that leaves its memory, before the driver is asked', async () => {
    await withAddonDevice(bed, BLOCK, async (device) => {
      const memory = await addon.allocate(device, 2 * BLOCK, false);
      const other = await addon.allocate(device, BLOCK, false);
      const before = accounts?.calls();
      const ranges: readonly (readonly [number, number])[] = [
        [0, 0],
        [0, 2 * BLOCK + 1],
        [2 * BLOCK, 1],
        [2 * BLOCK - 1, 2],
        [Number.MAX_SAFE_INTEGER, 1],
        [1, Number.MAX_SAFE_INTEGER],
        [-1, 1],
        [0.5, 1],
        [Number.NaN, 1],
        [0, Number.POSITIVE_INFINITY],
      ];
      for (const [offset, length] of ranges) {
        expect(() => addon.read(memory, offset, length)).toThrowError(/must be|not inside/);
        expect(() => addon.fill(memory, offset, length, 0)).toThrowError(/must be|not inside/);
        expect(() => addon.copy(memory, offset, other, 0, length)).toThrowError(/must be|not inside/);
        expect(() => addon.copy(other, 0, memory, offset, length)).toThrowError(/must be|not inside/);
      }
      expect(() => addon.write(memory, 2 * BLOCK - 1, new Uint8Array(2))).toThrowError(/not inside/);
      expect(() => addon.write(memory, 0, new Uint8Array(BLOCK + 1))).toThrowError(/staging/);
      expect(() => addon.write(memory, 0, new Uint8Array(0))).toThrowError(/staging/);
      expect(accounts?.calls()).toEqual(before);
    });
  });

  it('the addon refuses handles of another kind, of another device, and objects that only look like one', async () => {
    emulator.reset();
    const driver = await addon.load(bed.libraryPath);
    const open = () => addon.open(driver, bed.index, BLOCK);
    const [one, two] = await Promise.all([open(), open()]);
    const [mine, foreign] = await Promise.all([
      addon.allocate(one, BLOCK, false),
      addon.allocate(two, BLOCK, false),
    ]);
    expect(() => addon.copy(mine, 0, foreign, 0, 16)).toThrowError(/different devices/);
    for (const odd of [driver, one, {}, Object.create(mine), null, 7, 'memory', undefined, () => mine]) {
      expect(() => Reflect.apply(addon.read, addon, [odd, 0, 1])).toThrowError('not a memory handle');
      expect(() => Reflect.apply(addon.release, addon, [odd])).toThrowError('not a memory handle');
    }
    await addon.release(mine);
    await expect(addon.read(mine, 0, 1)).rejects.toMatchObject({ code: 'CLOSED' });
    await Promise.all([addon.close(one), addon.close(two)]);
    await expect(addon.memoryInfo(one)).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(addon.release(foreign)).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('[MS-007] a lease’s ranges are those of its view: kernels get what was leased and nothing around it', async () => {
    await withDevice(bed, async (device) => {
      const bytes = xorshiftBytes(41, 3 * BLOCK);
      const region = await sealed(device, bytes);
      const binding = bind(region, BLOCK, BLOCK);
      const scratch = await binding.scratch(64);
      await add(binding, [{ weights: { offset: 128, length: 64 } }, { scratch }, { u32: 5 }]);
      const words = new Uint32Array(bytes.slice(BLOCK + 128, BLOCK + 192).buffer).map((word) => word + 5);
      expect(await scratch.read()).toEqual(new Uint8Array(words.buffer));
      for (const [offset, length] of [
        [BLOCK, 1],
        [0, BLOCK + 1],
        [BLOCK - 1, 2],
        [-1, 1],
        [0, 0],
        [Number.MAX_SAFE_INTEGER, 1],
      ] as const) {
        await expect(
          add(binding, [{ weights: { offset, length } }, { scratch }, { u32: 0 }]),
        ).rejects.toMatchObject({ code: 'INVALID_INPUT' });
      }
      await binding.end();
      await expect(scratch.read()).rejects.toMatchObject({ code: 'NOT_FOUND' });
      await expect(binding.scratch(1)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    });
  });

  it('a launch must match what the kernel declares: count, sizes, entry, PTX, grid and block', async () => {
    await withDevice(bed, async (device) => {
      const binding = bind(await sealed(device, xorshiftBytes(42, BLOCK)), 0, BLOCK);
      const scratch = await binding.scratch(64);
      const weights = { weights: { offset: 0, length: 64 } };
      const launches = accounts?.calls()['cuLaunchKernel'];
      const bad: readonly (readonly CudaArgument[])[] = [
        [],
        [weights, { scratch }],
        [weights, { scratch }, { u32: 1 }, { u32: 1 }],
        [weights, { u32: 1 }, { scratch }],
        [weights, { scratch }, { scratch }],
        [weights, { scratch }, { u32: 2 ** 32 }],
        [weights, { scratch }, { u32: -1 }],
        [weights, { scratch: { ...scratch } }, { u32: 1 }],
      ];
      for (const args of bad)
        await expect(add(binding, args)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
      const good = { module: ADD, entry: 'add', args: [weights, { scratch }, { u32: 1 }] } as const;
      for (const wrong of [
        { ...good, grid: [0, 1, 1], block: [1, 1, 1] },
        { ...good, grid: [1, 65_536, 1], block: [1, 1, 1] },
        { ...good, grid: [1, 1, 1], block: [1024, 2, 1] },
        { ...good, grid: [1, 1, 1], block: [1, 1, 65] },
        { ...good, entry: 'sub', grid: [1, 1, 1], block: [1, 1, 1] },
        { ...good, module: 'no PTX .entry add()', args: [], grid: [1, 1, 1], block: [1, 1, 1] },
      ] as const) {
        await expect(binding.launch(wrong)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
      }
      expect(accounts?.calls()['cuLaunchKernel']).toBe(launches);
      await binding.end();
    });
  });

  it('[MS-009] a kernel store to the sealed bytes faults; the device is lost, the bytes are not changed', async () => {
    bed.requireOwnProcess();
    await withOpenDevice(bed, async (device) => {
      const bytes = xorshiftBytes(43, BLOCK);
      const region = await sealed(device, bytes);
      const binding = bind(region, 0, BLOCK);
      await binding.launch({
        module: STORE,
        entry: 'store',
        grid: [1, 1, 1],
        block: [1, 1, 1],
        args: [{ weights: { offset: 0, length: BLOCK } }],
      });
      await expect(binding.end()).rejects.toMatchObject({
        code: 'DEVICE_LOST',
        message: expect.stringContaining('CUDA_ERROR_ILLEGAL_ADDRESS'),
      });
      // Of a void context nobody can read.
      if (accounts !== null) expect(accounts.peek(newestAllocation(bed), 0, BLOCK)).toEqual(bytes);
      expect((await device.lost).reason).toBe('lost');
      await region.release().catch(() => undefined);
    });
  });

  it('a kernel that reads past its memory faults instead of reading a neighbour', async () => {
    bed.requireTestDriver('needs a driver that checks the bounds of every allocation');
    await withOpenDevice(bed, async (device) => {
      const region = await sealed(device, xorshiftBytes(44, BLOCK));
      const binding = bind(region, 0, BLOCK);
      const scratch = await binding.scratch(16);
      await add(binding, [{ weights: { offset: 0, length: 64 } }, { scratch }, { u32: 1 }], 1024);
      await expect(scratch.read()).rejects.toMatchObject({ code: 'DEVICE_LOST' });
      await binding.end().catch(() => undefined);
      await region.release().catch(() => undefined);
    });
  });
});
