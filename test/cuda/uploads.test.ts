import { expect, it } from 'vitest';
import { nativeFile } from '../support/native-file.js';
import { xorshiftBytes } from '../support/xorshift.js';
import { describeCuda, withAddonDevice } from './testbed.js';

const BLOCK = 4096;
const BYTES = 8 * BLOCK;
/** Pinned buffers for uploads. */
const BUFFERS = 3;
const without = nativeFile === undefined ? ' (SKIPPED: no native code that reads files runs here)' : '';

describeCuda('cuda: uploads', (bed) => {
  const { addon, emulator } = bed;

  it('writes that nobody waits for take effect in the order of the calls, also where they overlap', async () => {
    await withAddonDevice(bed, BLOCK, async (device) => {
      const memory = await addon.allocate(device, BYTES, false);
      await addon.fill(memory, 0, BYTES, 0);
      await addon.synchronize(device);
      const expected = new Uint8Array(BYTES);
      const random = xorshiftBytes(61, 400);
      const under: Promise<unknown>[] = [];
      for (let at = 0; at + 4 <= random.length; at += 4) {
        const [high = 0, low = 0, size = 0, value = 0] = random.subarray(at, at + 4);
        const offset = (high * 256 + low) % (BYTES - BLOCK);
        const bytes = new Uint8Array(1 + size * 16).fill(value);
        expected.set(bytes, offset);
        under.push(addon.write(memory, offset, bytes));
        // The caller's array is its own again: what was handed in is what arrives.
        bytes.fill(0xee);
        if (value % 16 === 0) under.push(addon.drain(memory));
        if (value % 32 === 1) {
          const then = expected.slice();
          under.push(addon.read(memory, 0, BYTES).then((now) => expect(Buffer.compare(now, then)).toBe(0)));
        }
      }
      await Promise.all(under);
      expect(Buffer.compare(await addon.read(memory, 0, BYTES), expected)).toBe(0);
      await addon.drain(memory);
      expect(emulator.pinnedResidue()).toBe(0);
    });
  });

  it('[VP-003] a write that is refused leaves nothing in pinned memory, and its buffer is used again', async () => {
    await withAddonDevice(bed, BLOCK, async (device) => {
      const memory = await addon.allocate(device, BLOCK, true);
      emulator.failCall('cuMemcpyHtoDAsync_v2', 1, 1);
      const bytes = xorshiftBytes(62, BLOCK);
      await expect(addon.write(memory, 0, bytes)).rejects.toMatchObject({ code: 'DRIVER' });
      expect(emulator.pinnedResidue()).toBe(0);
      await addon.protect(memory, true);
      for (let round = 0; round < 4; round++) {
        await expect(addon.write(memory, 0, bytes)).rejects.toMatchObject({ code: 'STATE' });
        expect(emulator.pinnedResidue()).toBe(0);
      }
    });
  });

  it('[VP-003] behind a short write its buffer holds nothing of a longer one before', async () => {
    await withAddonDevice(bed, BLOCK, async (device) => {
      const memory = await addon.allocate(device, BYTES, false);
      await addon.write(memory, 0, new Uint8Array(BLOCK).fill(7));
      await addon.write(memory, BLOCK, Uint8Array.of(7));
      const short = addon.write(memory, 2 * BLOCK, new Uint8Array(16).fill(7));
      expect(emulator.pinnedResidue()).toBe(17);
      await short;
    });
  });

  it('writes under way when a device is closed have arrived or are told to have failed, and leave nothing', async () => {
    emulator.reset();
    const device = await addon.open(await addon.load(bed.libraryPath), bed.index, BLOCK);
    const memory = await addon.allocate(device, BYTES, false);
    const write = (): Promise<void> => addon.write(memory, 0, xorshiftBytes(63, BLOCK));
    const before = [write(), write(), write(), write()];
    const closed = addon.close(device);
    const after = Promise.allSettled([write(), write()]);
    await Promise.all([...before, closed]);
    for (const late of await after) expect(late).toMatchObject({ reason: { code: 'CLOSED' } });
    await expect(write()).rejects.toMatchObject({ code: 'CLOSED' });
    expect(emulator.pinnedResidue()).toBe(0);
    expect(await bed.leftBehind()).toBeNull();
  });

  it.skipIf(without !== '')(
    `[VP-003] what threads read to reserved memory arrives, also from the heap once the buffers are taken${without}`,
    async () => {
      const bytes = xorshiftBytes(64, BYTES);
      const file = await nativeFile?.(bytes);
      if (file === undefined) return;
      await withAddonDevice(bed, BLOCK, async (device) => {
        const memory = await addon.allocate(device, BYTES, false);
        const sinks = Array.from({ length: 8 }, () => addon.reserve(memory, BLOCK));
        await Promise.all(sinks.map((sink, i) => file.read(sink, i * BLOCK, BLOCK)));
        expect(emulator.pinnedResidue()).toBeGreaterThan((BUFFERS - 1) * BLOCK);
        await Promise.all(sinks.map((sink, i) => addon.writeReserved(memory, i * BLOCK, sink)));
        // It was closed by the write, which has its bytes.
        for (const sink of sinks) addon.closeSink(sink);
        expect(Buffer.compare(await addon.read(memory, 0, BYTES), bytes)).toBe(0);
        await addon.drain(memory);
        expect(emulator.pinnedResidue()).toBe(0);
      });
      await file.close();
    },
  );

  it.skipIf(without !== '')(
    `[VP-003] reserved memory that is not written is wiped, and its buffer is used again${without}`,
    async () => {
      const bytes = xorshiftBytes(65, BLOCK);
      const file = await nativeFile?.(bytes);
      if (file === undefined) return;
      await withAddonDevice(bed, BLOCK, async (device) => {
        const memory = await addon.allocate(device, BYTES, false);
        for (let round = 0; round < 2 * BUFFERS; round++) {
          const sink = addon.reserve(memory, BLOCK);
          await file.read(sink, 0, BLOCK);
          expect(emulator.pinnedResidue()).toBeGreaterThan(0);
          addon.closeSink(sink);
          addon.closeSink(sink);
          expect(emulator.pinnedResidue()).toBe(0);
          await expect(file.read(sink, 0, BLOCK)).rejects.toMatchObject({ code: 'CLOSED' });
          await expect(async () => addon.writeReserved(memory, 0, sink)).rejects.toMatchObject({
            code: 'CLOSED',
          });
        }
        expect(() => addon.reserve(memory, BLOCK + 1)).toThrow('length must fit the staging buffer');
        const sink = addon.reserve(memory, BLOCK);
        await expect(async () => addon.writeReserved(memory, BYTES - 1, sink)).rejects.toMatchObject({
          code: 'ARGUMENT',
        });
        const other = await addon.open(await addon.load(bed.libraryPath), bed.index, BLOCK);
        const elsewhere = await addon.allocate(other, BYTES, false);
        await expect(async () => addon.writeReserved(elsewhere, 0, sink)).rejects.toMatchObject({
          code: 'ARGUMENT',
          message: expect.stringContaining('different devices'),
        });
        await addon.close(other);
      });
      await file.close();
    },
  );

  it.skipIf(without !== '')(
    `closing a device takes reserved memory from threads that have not come back${without}`,
    async () => {
      emulator.reset();
      const file = await nativeFile?.(xorshiftBytes(66, BLOCK));
      if (file === undefined) return;
      const device = await addon.open(await addon.load(bed.libraryPath), bed.index, BLOCK);
      const memory = await addon.allocate(device, BYTES, false);
      const sinks = Array.from({ length: BUFFERS + 1 }, () => addon.reserve(memory, BLOCK));
      await Promise.all(sinks.slice(1).map((sink) => file.read(sink, 0, BLOCK)));
      const closed = addon.close(device);
      const late = await Promise.allSettled(sinks.map((sink) => file.read(sink, 0, BLOCK)));
      for (const read of late) expect(read).toMatchObject({ reason: { code: 'CLOSED' } });
      await closed;
      for (const sink of sinks) {
        await expect(async () => addon.writeReserved(memory, 0, sink)).rejects.toMatchObject({
          code: 'CLOSED',
        });
      }
      expect(emulator.pinnedResidue()).toBe(0);
      expect(await bed.leftBehind()).toBeNull();
      await file.close();
    },
  );
});
