import { BLOCK_BYTES } from '../../../src/digest/types.js';
import { equal, refused, sameBytes } from '../assert.js';
import type { ContractCase } from '../context.js';
import { hostTree, rootOf } from '../host-tree.js';
import { dataOf, sealed, using } from '../regions.js';

const LENGTH = 130 * BLOCK_BYTES + 1001;
const LAST = 130;

export const patchCases: readonly ContractCase[] = [
  {
    name: '[MS-009] patch replaces one block, and nothing else, after freeze',
    run: async (context) => {
      const model = dataOf(61, LENGTH);
      await using(await sealed(await context.shared(), model), async (region) => {
        for (const block of [0, 1, 127, 128, 129]) {
          const bytes = dataOf(300 + block, BLOCK_BYTES);
          model.set(bytes, block * BLOCK_BYTES);
          await region.patch(block, bytes);
          const tree = await hostTree(context.oracle, model);
          sameBytes((await region.root()).root, rootOf(tree), `root after block ${block}`);
        }
        sameBytes(await region.read(0, LENGTH), model, 'bytes');
        await refused('INVALID_INPUT', () => region.write(0, new Uint8Array(1)), 'write after patch');
      });
    },
  },
  {
    name: '[MS-009] the last, partial block is patched with its real bytes; its padding stays zero',
    run: async (context) => {
      const model = dataOf(62, LENGTH);
      await using(await sealed(await context.shared(), model), async (region) => {
        const bytes = dataOf(63, LENGTH - LAST * BLOCK_BYTES);
        model.set(bytes, LAST * BLOCK_BYTES);
        await region.patch(LAST, bytes);
        sameBytes(await region.read(0, LENGTH), model, 'bytes');
        sameBytes((await region.root()).root, rootOf(await hostTree(context.oracle, model)), 'root');
      });
    },
  },
  {
    name: '[MS-007] patch refuses blocks that are not there and every length but the block’s own',
    run: async (context) => {
      const bytes = dataOf(64, LENGTH);
      await using(await sealed(await context.shared(), bytes), async (region) => {
        const { root } = await region.root();
        const whole = new Uint8Array(BLOCK_BYTES);
        for (const block of [-1, 0.5, Number.NaN, LAST + 1, 2 ** 32, 2 ** 53, Number.POSITIVE_INFINITY]) {
          await refused('INVALID_INPUT', () => region.patch(block, whole), `patch of block ${block}`);
        }
        for (const length of [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES + 1]) {
          const wrong = new Uint8Array(length);
          await refused(
            'INVALID_INPUT',
            () => region.patch(0, wrong),
            `patch of block 0 with ${length} bytes`,
          );
        }
        for (const length of [0, 1000, 1002, BLOCK_BYTES]) {
          const wrong = new Uint8Array(length);
          await refused(
            'INVALID_INPUT',
            () => region.patch(LAST, wrong),
            `patch of the last with ${length} bytes`,
          );
        }
        sameBytes((await region.root()).root, root, 'root');
        sameBytes(await region.read(0, LENGTH), bytes, 'bytes');
      });
    },
  },
  {
    name: '[MS-009] patch takes part of a larger buffer, and counts as upload',
    run: async (context) => {
      const device = await context.shared();
      const model = dataOf(65, 2 * BLOCK_BYTES);
      await using(await sealed(device, model), async (region) => {
        const before = device.stats().uploadedBytes;
        await region.patch(1, dataOf(66, 3 * BLOCK_BYTES).subarray(77, 77 + BLOCK_BYTES));
        model.set(dataOf(66, 3 * BLOCK_BYTES).subarray(77, 77 + BLOCK_BYTES), BLOCK_BYTES);
        sameBytes(await region.read(0, model.length), model, 'bytes');
        equal(device.stats().uploadedBytes - before, BLOCK_BYTES, 'uploaded bytes');
      });
    },
  },
];
