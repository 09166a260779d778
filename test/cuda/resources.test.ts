import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { xorshiftBytes } from '../support/xorshift.js';
import { describeCuda, sealed, withDevice } from './testbed.js';

const BLOCK = 4096;

describeCuda('cuda: resources', (bed) => {
  const { addon, emulator, accounts } = bed;

  it('[RP-002] many regions in turn leave as much as before the first', async () => {
    await withDevice(bed, async (device) => {
      const before = accounts?.liveAllocations();
      for (let i = 1; i <= 20; i++) {
        const region = await sealed(device, xorshiftBytes(i, i * 1000));
        await region.root();
        await region.release();
      }
      expect(accounts?.liveAllocations()).toEqual(before);
      expect(device.stats()).toMatchObject({ liveRegions: 0, liveBytes: 0 });
    });
  });

  it('a lease gives back its modules and scratch with its end, wiped', async () => {
    await withDevice(bed, async (device) => {
      const region = await sealed(device, xorshiftBytes(51, BLOCK));
      const before = accounts?.liveAllocations();
      const binding = region.view(0, BLOCK);
      if (binding.kind !== 'cuda') throw new Error('not a CUDA binding');
      const scratch = await binding.scratch(10_000);
      await scratch.write(xorshiftBytes(52, 10_000));
      if (before !== undefined) expect(accounts?.liveAllocations().memory).toBe(before.memory + 1);
      await binding.end();
      await binding.end();
      expect(accounts?.liveAllocations()).toEqual(before);
    });
  });

  it('[MS-005] closing with live regions, leases and scratch gives everything back', async () => {
    await withDevice(bed, async (device) => {
      const region = await sealed(device, xorshiftBytes(53, BLOCK));
      const binding = region.view(0, BLOCK);
      if (binding.kind !== 'cuda') throw new Error('not a CUDA binding');
      await (await binding.scratch(64)).write(new Uint8Array(64).fill(1));
      await device.allocate(1);
    });
  });

  it.each(['cuMemUnmap', 'cuMemRelease', 'cuMemAddressFree'])(
    '[MS-004] %s that fails and does nothing: release tells it, and closing the device makes up for it',
    async (call) => {
      await withDevice(bed, async (device) => {
        const region = await sealed(device, xorshiftBytes(54, BLOCK));
        emulator.failCall(call, 1, 1, false);
        await expect(region.release()).rejects.toMatchObject({
          code: 'RELEASE_FAILED',
          message: expect.stringContaining(call),
        });
        expect(device.stats()).toMatchObject({ liveRegions: 0, liveBytes: 0 });
      });
    },
  );

  it.each(['cuMemUnmap', 'cuMemRelease', 'cuMemAddressFree'])(
    '[MS-004] %s that fails and does nothing while the device is closed: tried once more, and told',
    async (call) => {
      emulator.reset();
      // Said before anything is open: a real driver would keep it.
      emulator.failCall(call, 1, 1, false);
      const device = await addon.open(await addon.load(bed.libraryPath), bed.index, BLOCK);
      await addon.allocate(device, BLOCK, true);
      await expect(addon.close(device)).rejects.toMatchObject({ call });
      expect(emulator.liveAllocations().total).toBe(0);
    },
  );

  it('an opening that fails at the known answers gives everything back', async () => {
    emulator.reset();
    emulator.failCall('cuLaunchKernel', 9, 1);
    await expect(bed.backend().open(0)).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    expect(emulator.liveAllocations().total).toBe(0);
  });

  it('unclosed handles of the addon go with their environment: a worker thread that ends leaves nothing', async () => {
    emulator.reset();
    const program = `
      const { workerData, parentPort } = require('node:worker_threads');
      const addon = require(workerData.addonPath);
      (async () => {
        const device = await addon.open(await addon.load(workerData.libraryPath), workerData.index, 4096);
        const memory = await addon.allocate(device, 4096, true);
        await addon.write(memory, 0, new Uint8Array(4096).fill(9));
        await addon.protect(memory, true);
        await addon.loadModule(device, workerData.ptx);
        parentPort.postMessage('open');
        addon.read(memory, 0, 4096);
        if (workerData.exit) process.exit(0);
      })();
    `;
    const ptx = '.version 8.0\n.target sm_75\n.address_size 64\n.visible .entry nothing()\n{\n\tret;\n}\n';
    for (const exit of [true, false]) {
      const worker = new Worker(program, {
        eval: true,
        workerData: { addonPath: bed.addonPath, libraryPath: bed.libraryPath, index: bed.index, ptx, exit },
      });
      // Listened for from the start: on a busy machine the end arrives together with the message.
      const ended = new Promise((resolve) => worker.once('exit', resolve));
      await new Promise((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      });
      if (!exit) await worker.terminate();
      await ended;
      // No fault on the way: what it wrote had arrived when the mapping became read-only.
      if (accounts !== null) expect(accounts.lastFault()).toBe('');
      expect(await bed.leftBehind()).toBeNull();
    }
  });

  it.each([
    ['a device of its own', { devices: [{}, {}, {}] }, [0, 1, 2]],
    ['the same device', {}, [bed.index, bed.index, bed.index]],
  ])('several worker threads at once, each with %s', async (_which, settings, devices) => {
    emulator.reset(settings);
    const program = `
      const { workerData, parentPort } = require('node:worker_threads');
      const addon = require(workerData.addonPath);
      (async () => {
        const device = await addon.open(await addon.load(workerData.libraryPath), workerData.index, 4096);
        const memory = await addon.allocate(device, 65536, true);
        for (let i = 0; i < 16; i++) {
          await addon.write(memory, i * 4096, new Uint8Array(4096).fill(i + workerData.value));
        }
        await addon.drain(memory);
        const bytes = await addon.read(memory, 0, 65536);
        await addon.close(device);
        parentPort.postMessage(bytes.every((byte, i) => byte === (i >> 12) + workerData.value));
      })();
    `;
    const answers = devices.map(
      (index, value) =>
        new Promise((resolve, reject) => {
          const worker = new Worker(program, {
            eval: true,
            workerData: { addonPath: bed.addonPath, libraryPath: bed.libraryPath, index, value },
          });
          worker.once('message', resolve);
          worker.once('error', reject);
        }),
    );
    expect(await Promise.all(answers)).toEqual([true, true, true]);
    expect(await bed.leftBehind()).toBeNull();
  });

  it('work given to a device that is being closed is refused, never forgotten', async () => {
    emulator.reset();
    const device = await addon.open(await addon.load(bed.libraryPath), bed.index, BLOCK);
    const memory = await addon.allocate(device, BLOCK, true);
    const closing = addon.close(device);
    const late = Promise.allSettled([addon.read(memory, 0, 16), addon.memoryInfo(device)]);
    const again = addon.close(device).catch((error: unknown) => error);
    await closing;
    for (const outcome of await late) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'CLOSED' } });
    }
    // In the queue before the end it finds nothing to do; after it, it is refused.
    expect([undefined, 'CLOSED']).toContain(codeOf(await again));
    expect(await bed.leftBehind()).toBeNull();
  });
});

function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
}
