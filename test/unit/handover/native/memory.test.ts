import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { execPath } from 'node:process';
import { expect, it } from 'vitest';
import { type Device, exportMemory, type Region, type SharedMemory } from '../../../../src/device/index.js';
import { addonTransport } from '../../../../src/handover/native/index.js';
import type { ShareConnection } from '../../../../src/handover/port.js';
import type { PresentTestbed } from '../../../support/cuda.js';
import { socketAddon } from '../../../support/share-client.js';
import { xorshiftBytes } from '../../../support/xorshift.js';
import { describeSockets, line, openDescriptors, until, withSocket } from './testbed.js';

const MIB = 2 ** 20;
const ACCESS_READ = 1;
const ACCESS_READ_WRITE = 3;
const NOT_PERMITTED = 800;
const MANIFEST = new TextEncoder().encode('{"v":1,"files":[],"tensors":[]}');

/** Another process with a test driver of its own: imports what it is sent, and does what lines on its standard input say. */
const CLIENT = `
const addon = require(process.argv[1]);
(async () => {
  const device = await addon.open(await addon.load(process.argv[2]), 0, 65536);
  const sockets = addon.openSockets(async (kind, _, value, descriptors) => {
    if (kind !== 'line') return;
    const { memory, granted } = await addon.importMemory(device, descriptors[0], ${2 * MIB});
    const manifest = await addon.readSealedBytes(descriptors[1], 1000);
    for (const descriptor of descriptors) addon.closeDescriptor(descriptor);
    const read = async () => Buffer.from(await addon.read(memory, 0, 64)).toString('hex');
    const store = () => addon.write(memory, 0, new Uint8Array(64).fill(238)).then(
      async () => { await addon.drain(memory); return 'stored'; }, (error) => error.code);
    const text = (bytes) => Buffer.from(bytes).toString();
    console.log(JSON.stringify({ granted, line: text(value), manifest: text(manifest) }));
    const commands = {
      read, store,
      writable: async () => addon.protect(memory, false),
      end: async () => {
        await addon.release(memory);
        await addon.close(device);
        addon.closeSockets(sockets);
        process.stdin.destroy();
      },
    };
    require('node:readline').createInterface({ input: process.stdin }).on('line', async (command) => {
      console.log(JSON.stringify((await commands[command]()) ?? null));
    });
  });
  addon.connectTo(sockets, process.argv[3], 65536);
})();
`;

describeSockets('memory handed to another process', (bed) => {
  const addon = socketAddon(bed.addon);

  it('maps read-only there; damage and healing here are seen there, and a store there is found here', async () => {
    await withShared(bed, async ({ device, region, shared, bytes }) => {
      await withSocket(bed, async ({ path, accepted }) => {
        const child = spawn(execPath, ['-e', CLIENT, bed.addonPath, String(bed.libraryPath), path], {
          stdio: ['pipe', 'pipe', 'inherit'],
        });
        const answers = child.stdout[Symbol.asyncIterator]();
        let buffered = '';
        const answer = async (): Promise<unknown> => {
          while (!buffered.includes('\n')) buffered += String((await answers.next()).value);
          const [first = '', ...rest] = buffered.split('\n');
          buffered = rest.join('\n');
          return JSON.parse(first);
        };
        const ask = (command: string): Promise<unknown> => {
          child.stdin.write(`${command}\n`);
          return answer();
        };
        const { connection } = await until(() => accepted[0]);
        const handover = await addonTransport(bed.addon).prepare(shared, MANIFEST);
        expect(connection.send(line('{"type":"shard"}'), handover)).toBe('sent');
        expect(await answer()).toEqual({
          granted: ACCESS_READ,
          line: '{"type":"shard"}',
          manifest: new TextDecoder().decode(MANIFEST),
        });
        const hex = Buffer.from(bytes.subarray(0, 64)).toString('hex');
        expect(await ask('read')).toBe(hex);
        expect(await ask('store')).toBe('STATE');

        const { root } = await region.root();
        await region.faults?.flip(3, 255);
        expect(await ask('read')).not.toBe(hex);
        await region.patch(0, bytes.subarray(0, 4096));
        expect(await ask('read')).toBe(hex);

        // It chose other rights: that is why such a seal says api-only.
        expect(await ask('writable')).toBe(ACCESS_READ_WRITE);
        expect(await ask('store')).toBe('stored');
        expect((await region.root()).root).not.toEqual(root);
        await region.patch(0, bytes.subarray(0, 4096));
        expect((await region.root()).root).toEqual(root);

        // Given up here, it stays there, unwiped.
        await region.abandon();
        expect(await ask('read')).toBe(hex);
        expect(device.stats()).toMatchObject({ liveRegions: 0 });
        expect(await ask('end')).toBeNull();
        child.stdin.end();
        const [code] = await once(child, 'exit');
        expect(code).toBe(0);
      });
    });
  });

  it('every handover has descriptors of its own; the manifest of a shard is one file', async () => {
    await withShared(bed, async ({ shared }) => {
      await withSocket(bed, async ({ pair }) => {
        const transport = addonTransport(bed.addon);
        const [client, { connection }] = await pair();
        const before = openDescriptors();
        const first = await transport.prepare(shared, MANIFEST);
        const second = await transport.prepare(shared, MANIFEST);
        // Two of the memory, one of the file.
        expect(openDescriptors()).toBe(before + 3);
        second.discard();
        second.discard();
        expect(openDescriptors()).toBe(before + 2);
        connection.send(line('take'), first);
        expect(() => connection.send(line('again'), first)).toThrow(/used or closed/);
        first.discard();
        const received = await client.next();
        expect(received?.descriptors).toHaveLength(2);
        const [memory, file] = received?.descriptors ?? [];
        if (memory === undefined || file === undefined) throw new Error('no descriptors');
        expect(await addon.readSealedBytes(file, MANIFEST.length)).toEqual(MANIFEST);
        await expect(addon.readSealedBytes(file, MANIFEST.length - 1)).rejects.toThrow(
          /larger than its limit/,
        );
        // Device memory is not a file that one could rely on.
        await expect(addon.readSealedBytes(memory, 2 ** 20)).rejects.toThrow(/not sealed/);
        for (const one of [memory, file]) addon.closeDescriptor(one);
        expect(openDescriptors()).toBe(before + 1);
      });
    });
  });

  it('a handover that meets a full queue is still the caller’s; one for a closed connection is closed', async () => {
    await withShared(bed, async ({ shared }) => {
      await withSocket(bed, async ({ pair }) => {
        const transport = addonTransport(bed.addon);
        const [client, { connection, closed }] = await pair();
        const handover = await transport.prepare(shared, MANIFEST);
        stuff(connection);
        expect(connection.send(line('take'), handover)).toBe('full');
        connection.close();
        // The client closes its own socket when it sees the end: both must be gone before descriptors are counted.
        await Promise.all([closed, client.closed]);
        const before = openDescriptors();
        expect(connection.send(line('take'), handover)).toBe('sent');
        // The manifest's file is kept for the next client.
        expect(openDescriptors()).toBe(before - 1);
        client.close();
      });
    });
  });

  it('what cannot be exported is refused by type: not frozen, released, of another device', async () => {
    await withShared(bed, async ({ device, shared }) => {
      const transport = addonTransport(bed.addon);
      const filling = await device.allocate(4096, { share: true });
      if (filling.shared === null) throw new Error('not shared');
      await expect(transport.prepare(filling.shared, MANIFEST)).rejects.toMatchObject({
        code: 'INVALID_INPUT',
      });
      await filling.release();
      await expect(transport.prepare(filling.shared, MANIFEST)).rejects.toMatchObject({ code: 'NOT_FOUND' });
      await expect(transport.prepare({ mappedBytes: 1 }, MANIFEST)).rejects.toMatchObject({
        code: 'INVALID_INPUT',
        message: expect.stringContaining('"memory" must be the shared memory of a CUDA region'),
      });
      bed.emulator.failCall('cuMemExportToShareableHandle', 1, NOT_PERMITTED);
      await expect(transport.prepare(shared, MANIFEST)).rejects.toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message: expect.stringContaining('cuMemExportToShareableHandle returned CUDA_ERROR_NOT_PERMITTED'),
      });
      (await transport.prepare(shared, MANIFEST)).discard();
    });
  });

  it('a driver without such handles refuses "share" in words, and takes nothing', async () => {
    bed.emulator.reset({ devices: [{ posixHandles: false }] });
    const device = await bed.backend().open(0);
    try {
      const before = bed.emulator.calls()['cuMemCreate'];
      await expect(device.allocate(4096, { share: true })).rejects.toMatchObject({
        code: 'INVALID_INPUT',
        message: '"share" is not possible on cuda:0: its driver cannot export memory as file descriptors',
      });
      expect(bed.emulator.calls()['cuMemCreate']).toBe(before);
      await (await device.allocate(4096)).release();
    } finally {
      await device.close();
    }
  });

  it('no driver call of a handover waits on the event loop', async () => {
    await withShared(bed, async ({ shared }) => {
      (await addonTransport(bed.addon).prepare(shared, MANIFEST)).discard();
      expect(bed.emulator.waitsOnEventLoop()).toBe(0);
    });
  });

  it('an import that fails at any step leaves nothing behind, and the descriptor stays the caller’s', async () => {
    await withShared(bed, async ({ shared }) => {
      const descriptor = await exportMemory(shared);
      const device = await addon.open(await addon.load(bed.libraryPath), 0, 65536);
      const before = bed.emulator.liveAllocations();
      const descriptors = openDescriptors();
      const steps = [
        'cuMemAddressReserve',
        'cuMemImportFromShareableHandle',
        'cuMemMap',
        'cuMemSetAccess',
        'cuMemGetAccess',
      ];
      for (const call of steps) {
        bed.emulator.failCall(call, 1, NOT_PERMITTED);
        await expect(addon.importMemory(device, descriptor, 2 * MIB)).rejects.toMatchObject({
          code: 'DRIVER',
          call,
        });
        expect(bed.emulator.liveAllocations()).toEqual(before);
        expect(openDescriptors()).toBe(descriptors);
      }
      await expect(addon.importMemory(device, descriptor, 4 * MIB)).rejects.toMatchObject({
        call: 'cuMemMap',
      });
      expect(() => addon.importMemory(device, descriptor, 4096)).toThrow(/multiple of 2097152/);
      const { memory, granted } = await addon.importMemory(device, descriptor, 2 * MIB);
      expect(granted).toBe(ACCESS_READ);
      await addon.release(memory);
      addon.closeDescriptor(descriptor);
      expect(() => addon.importMemory(device, descriptor, 2 * MIB)).toThrow(/used or closed/);
      await addon.close(device);
    });
  });

  it('memory that was exported is not wiped when its device is closed from under it; what was not, is', async () => {
    bed.emulator.reset();
    const device = await addon.open(await addon.load(bed.libraryPath), 0, 65536);
    const memory = await addon.allocate(device, 2 * MIB, true, true);
    await addon.write(memory, 0, new Uint8Array(64).fill(7));
    const descriptor = await addon.exportMemory(memory);
    await addon.close(device);
    expect(bed.emulator.freedUnwiped()).toBe(1);
    addon.closeDescriptor(descriptor);
    const other = await addon.open(await addon.load(bed.libraryPath), 0, 65536);
    const kept = await addon.allocate(other, 2 * MIB, true, true);
    await addon.write(kept, 0, new Uint8Array(64).fill(7));
    await addon.close(other);
    expect(bed.emulator.freedUnwiped()).toBe(1);
  });
});

interface SharedBench {
  readonly device: Device;
  readonly region: Region;
  readonly shared: SharedMemory;
  readonly bytes: Uint8Array;
}

/** A frozen shared region on a fresh test driver; afterwards nothing of it is left. */
async function withShared(bed: PresentTestbed, work: (bench: SharedBench) => Promise<void>): Promise<void> {
  bed.emulator.reset();
  const device = await bed.backend().open(0, { drills: true });
  try {
    const bytes = xorshiftBytes(19, 3 * 4096 + 5);
    const region = await device.allocate(bytes.length, { share: true });
    const { shared } = region;
    if (shared === null) throw new Error('the region is not shared');
    await region.write(0, bytes);
    await region.freeze();
    await work({ device, region, shared, bytes });
  } finally {
    await device.close();
  }
  expect(bed.emulator.liveAllocations().total).toBe(0);
}

/** Sends until nothing more is taken, large lines or small. */
function stuff(connection: ShareConnection): void {
  for (const bytes of [line('z'.repeat(60_000)), line('z')]) {
    for (let k = 0; connection.send(bytes) !== 'full'; k++) {
      if (k > 1000) throw new Error('never full');
    }
  }
}
