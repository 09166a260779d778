import { expect, it } from 'vitest';
import { STAGING_BYTES } from '../../src/device/cuda/device.js';
import type { DeviceBinding } from '../../src/device/types.js';
import { hostTree, rootOf } from '../contract/host-tree.js';
import { nodeOracle } from '../support/oracle.js';
import { xorshiftBytes } from '../support/xorshift.js';
import { STORE } from './programs.js';
import { bytesInDevice, describeCuda, flip, sealed, withDevice, withOpenDevice } from './testbed.js';

const BLOCK = 4096;

describeCuda('cuda: memory operations', (bed) => {
  const { emulator, accounts } = bed;

  it('what was written is what lies in device memory, at the same offsets', async () => {
    await withDevice(bed, async (device) => {
      const bytes = xorshiftBytes(21, 20_000);
      const region = await device.allocate(bytes.length);
      await region.write(0, bytes.subarray(0, 7001));
      await region.write(7001, bytes.subarray(7001));
      await region.freeze();
      expect(await bytesInDevice(bed, region, bytes.length)).toEqual(bytes);
      expect(await region.read(6999, 5)).toEqual(bytes.slice(6999, 7004));
    });
  });

  it('a write resolves while its copy is under way; freeze waits for it', async () => {
    await withDevice(bed, async (device) => {
      const region = await device.allocate(BLOCK);
      await region.write(0, xorshiftBytes(22, BLOCK));
      expect(emulator.pendingCopies()).toBe(1);
      await region.freeze();
      expect(emulator.pendingCopies()).toBe(0);
    });
  });

  it('a copy that could not be waited for is told by the freeze, or by the second write after it', async () => {
    const failed = { code: 'DEVICE_UNAVAILABLE', message: expect.stringContaining('cuStreamSynchronize') };
    await withDevice(bed, async (device) => {
      const region = await device.allocate(BLOCK);
      await region.write(0, xorshiftBytes(19, BLOCK));
      emulator.failCall('cuStreamSynchronize', 1, 1);
      await expect(region.freeze()).rejects.toMatchObject(failed);
      await expect(region.root()).rejects.toMatchObject(failed);
      const other = await device.allocate(BLOCK);
      await other.write(0, xorshiftBytes(20, 16));
      emulator.failCall('cuStreamSynchronize', 1, 1);
      await other.write(16, xorshiftBytes(20, 16));
      await expect(other.write(32, xorshiftBytes(20, 16))).rejects.toMatchObject(failed);
    });
  });

  it('[VP-003] pinned buffers hold weights during copies alone: after freeze and after read they are zeros', async () => {
    await withDevice(bed, async (device) => {
      const region = await device.allocate(50_000);
      await region.write(0, xorshiftBytes(23, 30_000));
      await region.write(30_000, xorshiftBytes(24, 20_000));
      expect(emulator.pinnedResidue()).toBeGreaterThan(0);
      await region.freeze();
      expect(emulator.pinnedResidue()).toBe(0);
      await region.read(0, 50_000);
      expect(emulator.pinnedResidue()).toBe(0);
    });
  });

  it('writes and reads larger than two staging buffers together', async () => {
    await withDevice(bed, async (device) => {
      const bytes = xorshiftBytes(25, 2 * STAGING_BYTES + 4321);
      const region = await device.allocate(bytes.length);
      await region.write(0, bytes);
      await region.freeze();
      expect(Buffer.compare(await region.read(0, bytes.length), bytes)).toBe(0);
    });
  });

  it('patch opens the mapping for its one block, and the mapping is read-only again afterwards', async () => {
    await withDevice(
      bed,
      async (device) => {
        const bytes = xorshiftBytes(26, 3 * BLOCK + 5);
        const region = await sealed(device, bytes);
        const { root } = await region.root();
        await flip(bed, region, BLOCK + 17, 0x40);
        expect((await region.root()).root).not.toEqual(root);
        const before = accounts?.calls()['cuMemSetAccess'] ?? 0;
        await region.patch(1, bytes.slice(BLOCK, 2 * BLOCK));
        if (accounts !== null) expect((accounts.calls()['cuMemSetAccess'] ?? 0) - before).toBe(2);
        expect((await region.root()).root).toEqual(root);
      },
      {},
      { drills: true },
    );
  });

  it('a patch that fails half-way leaves the region read-only: the next kernel store still faults', async () => {
    for (const call of ['cuMemcpyHtoDAsync_v2', 'cuStreamSynchronize', 'cuMemSetAccess', 'cuMemGetAccess']) {
      await withOpenDevice(bed, async (device) => {
        const region = await sealed(device, xorshiftBytes(27, BLOCK));
        emulator.failCall(call, 1, 1);
        await expect(region.patch(0, new Uint8Array(BLOCK))).rejects.toMatchObject({
          code: 'DEVICE_UNAVAILABLE',
        });
        await expect(storeInto(region.view(0, BLOCK))).rejects.toMatchObject({ code: 'DEVICE_LOST' });
        await region.release().catch(() => undefined);
      });
    }
  });

  it('restoring read-only access is tried again, and its first failure is told', async () => {
    await withDevice(bed, async (device) => {
      const bytes = xorshiftBytes(28, BLOCK);
      const region = await sealed(device, bytes);
      emulator.failCall('cuMemSetAccess', 2, 1);
      await expect(region.patch(0, bytes)).rejects.toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message: expect.stringContaining('cuMemSetAccess'),
      });
      expect((await region.root()).root).toEqual(rootOf(await hostTree(nodeOracle, bytes)));
    });
  });

  it('[MS-009] a region that the driver leaves writable serves nothing until its mapping is read-only again', async () => {
    await withOpenDevice(bed, async (device) => {
      const bytes = xorshiftBytes(28, BLOCK);
      const region = await sealed(device, bytes);
      const expected = rootOf(await hostTree(nodeOracle, bytes));
      const earlier = region.view(0, BLOCK);
      const refused = {
        code: 'DEVICE_UNAVAILABLE',
        message: expect.stringContaining('has not made this region read-only again'),
      };
      for (const nth of [2, 3]) emulator.failCall('cuMemSetAccess', nth, 1);
      await expect(region.patch(0, bytes)).rejects.toMatchObject({
        message: expect.stringContaining('cuMemSetAccess'),
      });
      expect(() => region.view(0, BLOCK)).toThrow(expect.objectContaining(refused));
      await expect(storeInto(earlier)).rejects.toMatchObject(refused);
      for (const use of [
        () => region.root(),
        () => region.nodes(0, 0, 1),
        () => region.read(0, 1),
        () => region.patch(0, bytes),
      ]) {
        for (const nth of [1, 2]) emulator.failCall('cuMemSetAccess', nth, 1);
        await expect(use()).rejects.toMatchObject(refused);
      }
      // The driver has come to its senses: the next call closes the mapping, and everything is as it was.
      expect((await region.root()).root).toEqual(expected);
      await expect(storeInto(region.view(0, BLOCK))).rejects.toMatchObject({ code: 'DEVICE_LOST' });
      await region.release().catch(() => undefined);
    });
  });

  it('the root brings back 80 bytes: root, two counts, the canary’s last hash', async () => {
    await withDevice(bed, async (device) => {
      const region = await sealed(device, xorshiftBytes(29, 130 * BLOCK));
      const before = device.stats().readbackBytes;
      await region.root();
      expect(device.stats().readbackBytes - before).toBe(80);
    });
  });

  it('a flipped bit in device memory, also in the padding of the last block, changes the root', async () => {
    await withDevice(
      bed,
      async (device) => {
        const region = await sealed(device, xorshiftBytes(30, BLOCK + 100));
        const { root } = await region.root();
        for (const byte of [0, BLOCK + 99, BLOCK + 100, 2 * BLOCK - 1]) {
          await flip(bed, region, byte, 1);
          expect((await region.root()).root).not.toEqual(root);
          await flip(bed, region, byte, 1);
        }
        expect((await region.root()).root).toEqual(root);
      },
      {},
      { drills: true },
    );
  });
});

async function storeInto(binding: DeviceBinding): Promise<void> {
  if (binding.kind !== 'cuda') throw new Error('not a CUDA binding');
  await binding.launch({
    module: STORE,
    entry: 'store',
    grid: [1, 1, 1],
    block: [1, 1, 1],
    args: [{ weights: { offset: 0, length: BLOCK } }],
  });
  await binding.end();
}
