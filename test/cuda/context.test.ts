import { expect, it } from 'vitest';
import { hostTree, rootOf } from '../contract/host-tree.js';
import { nodeOracle } from '../support/oracle.js';
import { xorshiftBytes } from '../support/xorshift.js';
import { describeCuda, sealed, withDevice, withOpenDevice } from './testbed.js';

describeCuda('cuda: context', (bed) => {
  it('opening retains the primary context once, and closing releases it', async () => {
    await withDevice(bed, async () => {
      expect(bed.emulator.liveAllocations().contexts).toBe(1);
    });
    expect(bed.emulator.calls()['cuDevicePrimaryCtxRetain']).toBe(1);
    expect(bed.emulator.calls()['cuDevicePrimaryCtxRelease_v2']).toBe(1);
    expect(bed.emulator.liveAllocations().contexts).toBe(0);
  });

  it('two openings of one GPU share its context; the first to close leaves the other whole', async () => {
    bed.emulator.reset();
    const backend = bed.backend();
    const [first, second] = await Promise.all([backend.open(bed.index), backend.open(bed.index)]);
    if (bed.accounts !== null) expect(bed.accounts.liveAllocations().contexts).toBe(1);
    const bytes = xorshiftBytes(7, 9000);
    const region = await sealed(second, bytes);
    await first.close();
    expect((await region.root()).root).toEqual(rootOf(await hostTree(nodeOracle, bytes)));
    await second.close();
    expect(await bed.leftBehind()).toBeNull();
  });

  it('two GPUs at once: each has a context of its own, and a loss of one leaves the other whole', async () => {
    bed.emulator.reset({ devices: [{ name: 'first' }, { name: 'second' }] });
    const backend = bed.backend();
    const [first, second] = await Promise.all([backend.open(0), backend.open(1)]);
    expect(bed.emulator.liveAllocations().contexts).toBe(2);
    expect([first.info.name, second.info.name]).toEqual(['first', 'second']);
    const bytes = xorshiftBytes(8, 9000);
    const [lost, kept] = await Promise.all([sealed(first, bytes), sealed(second, bytes)]);
    bed.emulator.loseDevice(0);
    await expect(lost.root()).rejects.toMatchObject({ code: 'DEVICE_LOST' });
    expect((await first.lost).reason).toBe('lost');
    expect((await kept.root()).root).toEqual(rootOf(await hostTree(nodeOracle, bytes)));
    await Promise.all([first.close(), second.close()]);
  });

  it('[ST-003] an uncorrectable ECC error voids the context: everything answers DEVICE_LOST', async () => {
    await withOpenDevice(bed, async (device) => {
      const region = await sealed(device, xorshiftBytes(9, 5000));
      bed.emulator.eccError(0);
      await expect(region.root()).rejects.toMatchObject({
        code: 'DEVICE_LOST',
        message: expect.stringContaining('CUDA_ERROR_ECC_UNCORRECTABLE'),
      });
      await expect(device.allocate(1)).rejects.toMatchObject({ code: 'DEVICE_LOST' });
      expect((await device.lost).message).toContain('CUDA_ERROR_ECC_UNCORRECTABLE');
      await region.release().catch(() => undefined);
      expect(device.stats().liveRegions).toBe(0);
    });
  });

  it('no thread that runs JavaScript ever waits for the device', async () => {
    await withDevice(bed, async (device) => {
      const region = await sealed(device, xorshiftBytes(10, 70_000));
      await region.root();
      await region.read(0, 70_000);
      await region.release();
    });
    expect(bed.emulator.waitsOnEventLoop()).toBe(0);
  });
});
