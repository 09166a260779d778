import { equal, fail, ok, refused, refusedNow, sameBytes } from '../assert.js';
import type { ContractCase, ContractContext } from '../context.js';
import { dataOf, sealed, using } from '../regions.js';

const NO_SIZE = [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 2 ** 64];
const TOO_BIG = ['ALLOCATION_FAILED', 'INSUFFICIENT_VRAM'];

async function wiped(context: ContractContext, closing: boolean): Promise<void> {
  const { freed, name } = context.target;
  if (freed === undefined) return context.skip(`memory that was given back cannot be seen on ${name}`);
  const device = await context.open();
  const earlier = freed();
  const region = await sealed(device, dataOf(91, 70_001).fill(0xa5, 0, 4096));
  const open = await device.allocate(5000);
  await open.write(0, dataOf(92, 5000));
  if (closing) await device.close();
  else await Promise.all([region.release(), open.release()]);
  equal(device.stats().liveBytes, 0, 'live bytes');
  const now = freed();
  ok(now.allocations - earlier.allocations >= 2, 'two allocations at least were seen going back');
  equal(now.unwiped - earlier.unwiped, 0, 'allocations that went back with something in them');
}

export const memoryCases: readonly ContractCase[] = [
  {
    name: '[MS-003] sizes that are not positive integers are refused before anything is allocated',
    run: async (context) => {
      const device = await context.shared();
      for (const size of NO_SIZE) {
        await refused('INVALID_INPUT', () => device.allocate(size), `allocate(${size})`);
        refusedNow('INVALID_INPUT', () => device.allocationBytes(size), `allocationBytes(${size})`);
      }
      equal(device.stats().liveRegions, 0, 'live regions');
    },
  },
  {
    name: '[MS-003] [VP-004] a size that no machine has is refused by type, and the device goes on working',
    run: async (context) => {
      const device = await context.shared();
      for (const size of [2 ** 46, 2 ** 52]) {
        await refused(TOO_BIG, () => device.allocate(size), `allocate(${size})`);
      }
      equal(device.stats().liveRegions, 0, 'live regions');
      equal(device.stats().liveBytes, 0, 'live bytes');
      await using(await sealed(device, dataOf(93, 5000)), (region) => region.root());
    },
  },
  {
    name: '[RP-002] out of memory is refused by type, leaves no accounting behind, and the next allocation works',
    run: async (context) => {
      const { openOutOfMemory, name } = context.target;
      if (openOutOfMemory === undefined) return context.skip(`${name} offers no way to run out of memory`);
      const { device, byteLength } = await openOutOfMemory();
      try {
        await refused(TOO_BIG, () => device.allocate(byteLength), 'allocate');
        equal(device.stats().liveRegions, 0, 'live regions');
        equal(device.stats().liveBytes, 0, 'live bytes');
        await using(await sealed(device, dataOf(94, 5000)), (region) => region.root());
      } finally {
        await device.close();
      }
    },
  },
  {
    name: '[RP-002] accounting: live regions and bytes are those of the regions, at every step',
    run: async (context) => {
      const device = await context.shared();
      const scratch = device.stats().scratchBytes;
      equal(device.stats().liveRegions, 0, 'live regions at the start');
      let expected = 0;
      const regions = [];
      for (const size of [1, 4096, 4097, 300_000]) {
        const region = await device.allocate(size);
        equal(region.byteLength, size, 'byteLength');
        equal(region.allocatedBytes, device.allocationBytes(size), `allocatedBytes of ${size}`);
        ok(region.allocatedBytes >= size, 'allocated bytes hold the data');
        ok(region.allocatedBytes % 4 === 0, 'allocated bytes are whole words');
        regions.push(region);
        expected += region.allocatedBytes;
        equal(device.stats().liveBytes, expected, 'live bytes');
        equal(device.stats().liveRegions, regions.length, 'live regions');
      }
      for (const region of regions) {
        await region.freeze();
        await region.root();
        await region.release();
        expected -= region.allocatedBytes;
        equal(device.stats().liveBytes, expected, 'live bytes');
      }
      equal(device.stats().liveRegions, 0, 'live regions at the end');
      equal(device.stats().scratchBytes, scratch, 'scratch is reserved once, at open');
    },
  },
  {
    name: '[MS-008] released memory is zeros, of frozen regions and of open ones',
    run: (context) => wiped(context, false),
  },
  {
    name: '[MS-008] memory released by closing the device is zeros',
    run: (context) => wiped(context, true),
  },
  {
    name: '[CI-008] a region as large as one that was released is zeros',
    run: async (context) => {
      const device = await context.open();
      const length = 70_001;
      await (await sealed(device, dataOf(96, length))).release();
      await using(await device.allocate(length), async (region) => {
        await region.freeze();
        sameBytes(await region.read(0, length), new Uint8Array(length), 'bytes of the new region');
      });
    },
  },
  {
    name: '[WK-003] capacity is what the platform says or null, never invented',
    run: async (context) => {
      const device = await context.shared();
      const { totalBytes, freeBytes, source } = await device.capacity();
      ok(['driver', 'system', 'none'].includes(source), `source "${source}"`);
      if (source === 'none') {
        ok(totalBytes === null && freeBytes === null, 'figures without a source');
        return;
      }
      ok(totalBytes !== null && Number.isSafeInteger(totalBytes) && totalBytes > 0, 'total bytes');
      ok(
        freeBytes !== null && freeBytes >= 0 && totalBytes !== null && freeBytes <= totalBytes,
        'free bytes',
      );
    },
  },
  {
    name: '[MS-001] nothing that a device or region shows holds an address or a handle',
    run: async (context) => {
      const device = await context.shared();
      await using(await sealed(device, dataOf(95, 5000)), async (region) => {
        for (const value of [device, region]) {
          for (const key of Object.keys(value)) {
            const own = Reflect.get(value, key);
            if (typeof own === 'bigint') fail(`${key} is a bigint`);
            if (own instanceof ArrayBuffer || ArrayBuffer.isView(own)) fail(`${key} is raw memory`);
          }
        }
        sameBytes(await region.read(0, 5000), dataOf(95, 5000), 'bytes');
      });
    },
  },
];
