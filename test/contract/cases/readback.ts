import { BLOCK_BYTES, HASH_BYTES } from '../../../src/digest/types.js';
import { equal, fail, ok, sameBytes } from '../assert.js';
import type { ContractCase } from '../context.js';
import { hostTree, rootOf } from '../host-tree.js';
import { affordable, dataOf, SMALL_WINDOW, sealed, using } from '../regions.js';

const MIB = 1024 * 1024;
/** The root, its count and the canary's hash: nothing more may come back. */
const ROOT_READBACK_BYTES = 128;

export const readbackCases: readonly ContractCase[] = [
  {
    name: 'verification in place: root brings back at most 128 bytes, whatever the size, and read is not used',
    run: async (context) => {
      for (const windowBytes of [undefined, SMALL_WINDOW]) {
        const device = await context.shared(windowBytes === undefined ? {} : { windowBytes });
        const counted: number[] = [];
        for (const length of [1, 4097, affordable(context, MIB + 5)]) {
          const bytes = dataOf(81, length);
          const tree = await hostTree(context.oracle, bytes);
          await using(await sealed(device, bytes), async (region) => {
            Object.defineProperty(region, 'read', {
              value: () => fail('read was used during verification in place'),
            });
            const before = device.stats().readbackBytes;
            const { root } = await region.root();
            counted.push(device.stats().readbackBytes - before);
            sameBytes(root, rootOf(tree), 'root');
          });
        }
        const [first = 0] = counted;
        ok(first >= HASH_BYTES && first <= ROOT_READBACK_BYTES, `${first} bytes came back for a root`);
        for (const bytes of counted) equal(bytes, first, 'bytes brought back for a larger region');
      }
    },
  },
  {
    name: 'verification in place: nodes bring back 32 bytes each and at most 1 KiB more, and read is not used',
    run: async (context) => {
      const device = await context.shared();
      const bytes = dataOf(82, 200 * BLOCK_BYTES);
      await using(await sealed(device, bytes), async (region) => {
        Object.defineProperty(region, 'read', {
          value: () => fail('read was used during verification in place'),
        });
        for (const [level, count] of [
          [0, 1],
          [0, 200],
          [1, 2],
        ] as const) {
          const before = device.stats().readbackBytes;
          await region.nodes(level, 0, count);
          const more = device.stats().readbackBytes - before - count * HASH_BYTES;
          // A mark for every window, the count and the canary: far below one block of the 200.
          ok(more >= 0 && more <= 1024, `${more} bytes beside ${count} nodes of level ${level}`);
        }
      });
    },
  },
  {
    name: 'the readback path counts the bytes it brings back',
    run: async (context) => {
      const device = await context.shared();
      await using(await sealed(device, dataOf(83, 100_000)), async (region) => {
        const before = device.stats().readbackBytes;
        await region.read(0, 100_000);
        const counted = device.stats().readbackBytes - before;
        // Copies may be rounded to the platform's granularity, never hidden.
        ok(counted >= 100_000 && counted <= 100_000 + 8192, `${counted} bytes were counted for 100000`);
      });
    },
  },
];
