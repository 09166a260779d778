import { expect, it } from 'vitest';
import type { DeviceHandle } from '../../src/device/cuda/addon.js';
import type { SharedMemory } from '../../src/device/index.js';
import { addonTransport } from '../../src/handover/native/index.js';
import type { ShareTransport } from '../../src/handover/port.js';
import type { PresentTestbed } from '../support/cuda.js';
import { socketAddon } from '../support/share-client.js';
import {
  describeSockets,
  line,
  openDescriptors,
  type SocketBench,
  until,
  withSocket,
} from '../unit/handover/native/testbed.js';

const MIB = 2 ** 20;
const HANDOVERS = 10_000;
const NOT_PERMITTED = 800;
const MANIFEST = new TextEncoder().encode('{"v":1,"files":[],"tensors":[]}');
/** Driver calls of an import, in their order. */
const IMPORT_STEPS = [
  'cuMemAddressReserve',
  'cuMemImportFromShareableHandle',
  'cuMemMap',
  'cuMemSetAccess',
  'cuMemGetAccess',
];

interface Work {
  /** The clients' device. */
  readonly device: DeviceHandle;
  readonly bed: PresentTestbed;
  readonly bench: SocketBench;
  readonly transport: ShareTransport;
  readonly shared: SharedMemory;
}

/** A client is given the memory, maps it, and gives it back; `failing` is a driver call that refuses on its way. */
async function handOver(work: Work, failing: string | null = null): Promise<void> {
  const { device, bed, bench, transport, shared } = work;
  const addon = socketAddon(bed.addon);
  const [client, { connection, closed }] = await bench.pair();
  const handover = await transport.prepare(shared, MANIFEST);
  expect(connection.send(line('take'), handover)).toBe('sent');
  const received = await client.next();
  const [memory, file] = received?.descriptors ?? [];
  if (memory === undefined || file === undefined) throw new Error('no descriptors came');
  if (failing !== null) bed.emulator.failCall(failing, 1, NOT_PERMITTED);
  const imported = addon.importMemory(device, memory, 2 * MIB);
  if (failing === null) await addon.release((await imported).memory);
  else await expect(imported).rejects.toMatchObject({ call: failing });
  for (const descriptor of [memory, file]) addon.closeDescriptor(descriptor);
  client.close();
  expect(await closed).toBe('peer');
}

/** The driver does not export. */
async function refused({ bed, transport, shared }: Work): Promise<void> {
  bed.emulator.failCall('cuMemExportToShareableHandle', 1, NOT_PERMITTED);
  await expect(transport.prepare(shared, MANIFEST)).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
}

/** The peer goes before it is sent anything. */
async function goneBefore({ bench, transport, shared }: Work): Promise<void> {
  const [client, { connection, closed }] = await bench.pair();
  const handover = await transport.prepare(shared, MANIFEST);
  client.close();
  await closed;
  connection.send(line('take'), handover);
}

/** The peer goes with the message in its socket, unread; and with a queue behind it. */
async function goneUnread({ bench, transport, shared }: Work): Promise<void> {
  const [client, { connection, closed }] = await bench.pair();
  const big = line('z'.repeat(60_000));
  for (let k = 0; k < 6; k++) connection.send(big, await transport.prepare(shared, MANIFEST));
  client.close();
  await closed;
}

/** Nobody is given it after all. */
async function discarded({ transport, shared }: Work): Promise<void> {
  (await transport.prepare(shared, MANIFEST)).discard();
}

describeSockets('ten thousand handovers', (bed) => {
  it('leave no descriptor and no memory, whatever fails on the way', { timeout: 900_000 }, async () => {
    bed.emulator.reset();
    const { addon } = bed;
    const device = await bed.backend().open(0);
    const clients = await addon.open(await addon.load(bed.libraryPath), 0, 4096);
    try {
      const region = await device.allocate(4096, { share: true });
      await region.write(0, new Uint8Array(4096).fill(3));
      await region.freeze();
      const { shared } = region;
      if (shared === null) throw new Error('the region is not shared');
      await withSocket(bed, async (bench) => {
        const work = { device: clients, bed, bench, transport: addonTransport(bed.addon), shared };
        const ways: (() => Promise<void>)[] = [
          () => handOver(work),
          () => refused(work),
          () => goneBefore(work),
          () => goneUnread(work),
          () => discarded(work),
          ...IMPORT_STEPS.map((step) => () => handOver(work, step)),
        ];
        for (const way of ways) await way();
        bench.accepted.length = 0;
        const before = { descriptors: openDescriptors(), memory: bed.emulator.liveAllocations() };
        const rss = process.memoryUsage.rss();
        for (let k = 0; k < HANDOVERS; k++) {
          // Each way as often as the next, the undisturbed one as often as all others.
          const way = k % 2 === 0 ? ways[0] : ways[1 + ((k >> 1) % (ways.length - 1))];
          await way?.();
          // What the bench keeps for the test is not what is measured.
          bench.accepted.length = 0;
          bench.clients.length = 0;
        }
        const left = (): number => openDescriptors() - before.descriptors;
        // The last sockets close as the thread comes to them; the peers' own processes go with what is collected.
        await until(() => left() <= 0);
        expect(bed.emulator.liveAllocations()).toEqual(before.memory);
        expect(process.memoryUsage.rss() - rss).toBeLessThan(64 * MIB);
      });
    } finally {
      await addon.close(clients);
      await device.close();
    }
    expect(bed.emulator.liveAllocations().total).toBe(0);
  });
});
