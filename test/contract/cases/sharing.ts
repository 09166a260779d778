import type { Region } from '../../../src/device/types.js';
import { equal, expectCode, ok, refused, sameBytes } from '../assert.js';
import type { ContractCase, ContractContext } from '../context.js';
import { dataOf, sealed, using } from '../regions.js';

const LENGTH = 20_001;

/** A region that other processes can map; null where the device refuses that in words and has taken nothing. */
async function allocateShared(context: ContractContext): Promise<Region | null> {
  const device = await context.shared();
  const before = device.stats();
  try {
    return await device.allocate(LENGTH, { share: true });
  } catch (error) {
    expectCode('INVALID_INPUT', error, 'a device that cannot share');
    ok(String(error).includes('share'), `the message names "share": ${String(error)}`);
    equal(device.stats().liveBytes, before.liveBytes, 'bytes taken by what was refused');
    return null;
  }
}

export const sharingCases: readonly ContractCase[] = [
  {
    name: 'memory stays in this process unless it is asked to be shared; only CUDA can',
    async run(context) {
      const device = await context.shared();
      for (const share of [undefined, false]) {
        await using(await device.allocate(LENGTH, { share }), async (region) => {
          ok(region.shared === null, 'a region that is not asked to be shared has no shared memory');
        });
      }
      const region = await allocateShared(context);
      if (device.info.backend !== 'cuda') equal(region === null, true, 'sharing is refused');
      if (region !== null) await region.release();
    },
  },
  {
    name: 'shared memory has the same tree, heals, and is never said to be read-only',
    async run(context: ContractContext) {
      const bytes = dataOf(81, LENGTH);
      const plain = await sealed(await context.shared(), bytes);
      const { root } = await using(plain, () => plain.root());
      const region = await allocateShared(context);
      if (region === null) context.skip(`${context.target.name} refuses "share", in words`);
      await using(region, async () => {
        const { shared } = region;
        ok(
          shared !== null && shared.mappedBytes === region.allocatedBytes,
          'an importer maps the whole region',
        );
        await region.write(0, bytes);
        equal(await region.freeze(), 'api-only', 'immutability of shared memory');
        await refused('INVALID_INPUT', () => region.write(0, bytes), 'a write after freeze');
        sameBytes((await region.root()).root, root, 'root of the same bytes');
        await region.patch(1, new Uint8Array(4096));
        await region.patch(1, bytes.subarray(4096, 8192));
        sameBytes((await region.root()).root, root, 'root after healing');
      });
    },
  },
  {
    name: 'a region that was given up is as gone as one that was released, and stays so',
    async run(context) {
      const device = await context.shared();
      const before = device.stats();
      const region = (await allocateShared(context)) ?? (await device.allocate(LENGTH));
      await region.freeze();
      await region.abandon();
      await region.abandon();
      await region.release();
      await refused('NOT_FOUND', () => region.read(0, 1), 'a read');
      await refused('NOT_FOUND', () => region.root(), 'a root');
      equal(device.stats().liveRegions, before.liveRegions, 'live regions');
      equal(device.stats().liveBytes, before.liveBytes, 'live bytes');
    },
  },
];
