import type { Region } from '../../../src/device/types.js';
import { equal, fail, ok, refused, refusedNow, sameBytes } from '../assert.js';
import type { ContractCase } from '../context.js';
import { dataOf, sealed, using } from '../regions.js';

const LENGTH = 9000;
const GONE = 'NOT_FOUND';

/** Every method of a region that has been given back. */
async function everythingGone(region: Region, codes: string | readonly string[]): Promise<void> {
  await refused(codes, () => region.write(0, new Uint8Array(1)), 'write');
  await refused(codes, () => region.freeze(), 'freeze');
  await refused(codes, () => region.root(), 'root');
  await refused(codes, () => region.nodes(0, 0, 1), 'nodes');
  await refused(codes, () => region.patch(0, new Uint8Array(4096)), 'patch');
  await refused(codes, () => region.read(0, 1), 'read');
  refusedNow(codes, () => region.view(0, 1), 'view');
}

export const stateCases: readonly ContractCase[] = [
  {
    name: '[MS-009] after freeze every write is refused, and nothing has changed',
    run: async (context) => {
      const bytes = dataOf(41, LENGTH);
      await using(await sealed(await context.shared(), bytes), async (region) => {
        const { root } = await region.root();
        await refused('INVALID_INPUT', () => region.write(0, new Uint8Array(1)), 'write of a byte');
        await refused('INVALID_INPUT', () => region.write(0, new Uint8Array(LENGTH)), 'write of everything');
        sameBytes((await region.root()).root, root, 'root');
        sameBytes(await region.read(0, LENGTH), bytes, 'bytes');
      });
    },
  },
  {
    name: '[MS-009] a write called after freeze was called, and before it resolved, is refused',
    run: async (context) => {
      const bytes = dataOf(42, LENGTH);
      await using(await (await context.shared()).allocate(LENGTH), async (region) => {
        await region.write(0, bytes);
        const frozen = region.freeze();
        await refused('INVALID_INPUT', () => region.write(0, new Uint8Array(1)), 'late write');
        await frozen;
        sameBytes(await region.read(0, LENGTH), bytes, 'bytes');
      });
    },
  },
  {
    name: 'freeze names its means, and a second freeze answers the same',
    run: async (context) => {
      await using(await (await context.shared()).allocate(LENGTH), async (region) => {
        const first = await region.freeze();
        ok(['mmu-readonly', 'usage-locked', 'api-only'].includes(first), `"${first}" is an immutability`);
        equal(await region.freeze(), first, 'second freeze');
      });
    },
  },
  {
    name: 'root, nodes, patch and view before freeze are refused',
    run: async (context) => {
      await using(await (await context.shared()).allocate(LENGTH), async (region) => {
        await region.write(0, dataOf(43, LENGTH));
        await refused('INVALID_INPUT', () => region.root(), 'root');
        await refused('INVALID_INPUT', () => region.nodes(0, 0, 1), 'nodes');
        await refused('INVALID_INPUT', () => region.patch(0, new Uint8Array(4096)), 'patch');
        refusedNow('INVALID_INPUT', () => region.view(0, 1), 'view');
      });
    },
  },
  {
    name: 'a released region answers NOT_FOUND to everything',
    run: async (context) => {
      const region = await sealed(await context.shared(), dataOf(44, LENGTH));
      await region.release();
      await everythingGone(region, GONE);
    },
  },
  {
    name: 'a region that was never frozen can be released, with writes under way',
    run: async (context) => {
      const device = await context.shared();
      const region = await device.allocate(300_000);
      const pending = region.write(0, dataOf(45, 300_000));
      const released = region.release();
      await Promise.allSettled([pending]);
      await released;
      await everythingGone(region, GONE);
    },
  },
  {
    name: '[MS-005] release twice, one after another and at once',
    run: async (context) => {
      const device = await context.shared();
      const region = await sealed(device, dataOf(46, LENGTH));
      await region.release();
      await region.release();
      const other = await sealed(device, dataOf(47, LENGTH));
      await Promise.all([other.release(), other.release()]);
      equal(device.stats().liveRegions, 0, 'live regions');
    },
  },
  {
    name: '[MS-005] close with live regions releases them; close twice is safe; lost says closed',
    run: async (context) => {
      const device = await context.open();
      const frozen = await sealed(device, dataOf(48, LENGTH));
      const open = await device.allocate(LENGTH);
      await Promise.all([device.close(), device.close()]);
      await device.close();
      equal(device.stats().liveRegions, 0, 'live regions');
      equal(device.stats().liveBytes, 0, 'live bytes');
      equal((await device.lost).reason, 'closed', 'reason');
      await everythingGone(frozen, GONE);
      await everythingGone(open, GONE);
      await frozen.release();
      await refused('DEVICE_LOST', () => device.allocate(1), 'allocate after close');
    },
  },
  {
    name: '[MS-005] a device is not lost while it is open',
    run: async (context) => {
      const device = await context.shared();
      const first = await Promise.race([device.lost.then(() => 'lost'), Promise.resolve('open')]);
      equal(first, 'open', 'state');
    },
  },
  {
    name: 'an aborted run is refused with ABORTED, and the next one is right',
    run: async (context) => {
      await using(await sealed(await context.shared(), dataOf(49, LENGTH)), async (region) => {
        const { root } = await region.root();
        const signal = AbortSignal.abort();
        await refused('ABORTED', () => region.root({ signal }), 'root');
        await refused('ABORTED', () => region.nodes(0, 0, 1, { signal }), 'nodes');
        sameBytes((await region.root()).root, root, 'root afterwards');
      });
    },
  },
  {
    name: 'a lost device refuses with DEVICE_LOST, its regions end with RELEASE_FAILED at worst, its accounting is closed',
    run: async (context) => {
      const { openLosable, name } = context.target;
      if (openLosable === undefined) return context.skip(`${name} offers no way to lose a device`);
      const { device, lose } = await openLosable();
      const region = await sealed(device, dataOf(50, LENGTH));
      await lose();
      equal((await device.lost).reason, 'lost', 'reason');
      await refused('DEVICE_LOST', () => region.root(), 'root');
      await refused('DEVICE_LOST', () => region.read(0, 1), 'read');
      await refused('DEVICE_LOST', () => device.allocate(1), 'allocate');
      await region.release().catch((error: unknown) => {
        if (!(error instanceof Error) || !('code' in error) || error.code !== 'RELEASE_FAILED') {
          fail(`release failed with ${String(error)}`);
        }
      });
      equal(device.stats().liveRegions, 0, 'live regions');
      equal(device.stats().liveBytes, 0, 'live bytes');
      await device.close();
    },
  },
];
