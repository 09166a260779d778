import type { Region } from '../../../src/device/types.js';
import { BLOCK_BYTES } from '../../../src/digest/types.js';
import { equal, refused, refusedNow, sameBytes } from '../assert.js';
import type { ContractCase } from '../context.js';
import { dataOf, sealed, using } from '../regions.js';

const LENGTH = 3 * BLOCK_BYTES + 77;
const BAD = 'INVALID_INPUT';

/** Never an offset, a length or a count of anything. */
const NO_COUNT = [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2 ** 53, 2 ** 64];
/** Pairs that leave a region of LENGTH bytes, some only by their sum. */
const OUTSIDE: readonly (readonly [number, number])[] = [
  [0, LENGTH + 1],
  [LENGTH, 1],
  [LENGTH + 1, 0],
  [LENGTH - 1, 2],
  [1, Number.MAX_SAFE_INTEGER],
  [Number.MAX_SAFE_INTEGER, 1],
  [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  [2 ** 32, 1],
  [2 ** 32 - 1, 2],
];

async function everyBadRange(
  ask: (offset: number, length: number) => Promise<unknown>,
  what: string,
): Promise<void> {
  for (const bad of NO_COUNT) {
    await refused(BAD, () => ask(bad, 1), `${what} at offset ${bad}`);
    await refused(BAD, () => ask(0, bad), `${what} of length ${bad}`);
  }
  for (const [offset, length] of OUTSIDE) {
    await refused(BAD, () => ask(offset, length), `${what} of ${length} bytes at ${offset}`);
  }
}

async function unchanged(region: Region, bytes: Uint8Array): Promise<void> {
  sameBytes(await region.read(0, bytes.length), bytes, 'bytes after the refusals');
}

export const offsetCases: readonly ContractCase[] = [
  {
    name: '[MS-006] [MS-007] read: every bad offset and length is refused',
    run: async (context) => {
      const bytes = dataOf(21, LENGTH);
      await using(await sealed(await context.shared(), bytes), async (region) => {
        await everyBadRange((offset, length) => region.read(offset, length), 'read');
        await unchanged(region, bytes);
      });
    },
  },
  {
    name: '[MS-006] [MS-007] view: every bad offset and length is refused',
    run: async (context) => {
      await using(await sealed(await context.shared(), dataOf(22, LENGTH)), async (region) => {
        await everyBadRange(async (offset, length) => region.view(offset, length), 'view');
        for (const bad of NO_COUNT) refusedNow(BAD, () => region.view(bad, 1), `view at ${bad}`);
      });
    },
  },
  {
    name:
      '[MS-006] [MS-007] write: every bad offset, every length that leaves the region and everything but bytes is ' +
      'refused',
    run: async (context) => {
      const bytes = dataOf(23, LENGTH);
      await using(await (await context.shared()).allocate(LENGTH), async (region) => {
        await region.write(0, bytes);
        const one = new Uint8Array(1);
        for (const bad of NO_COUNT) await refused(BAD, () => region.write(bad, one), `write at ${bad}`);
        for (const offset of [LENGTH, LENGTH + 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
          await refused(BAD, () => region.write(offset, one), `write of a byte at ${offset}`);
        }
        await refused(BAD, () => region.write(0, new Uint8Array(LENGTH + 1)), 'write of a byte too many');
        await refused(BAD, () => region.write(LENGTH - 1, new Uint8Array(2)), 'write over the end');
        for (const odd of [null, undefined, 'bytes', [1, 2], new ArrayBuffer(4), new Uint16Array(2)]) {
          await refused(
            BAD,
            async () => Reflect.apply(region.write, region, [0, odd]),
            `write of ${typeof odd}`,
          );
        }
        await region.freeze();
        await unchanged(region, bytes);
      });
    },
  },
  {
    name: '[MS-006] [MS-007] nodes: levels, indexes and counts that are not there are refused',
    run: async (context) => {
      await using(await sealed(await context.shared(), dataOf(24, LENGTH)), async (region) => {
        for (const bad of NO_COUNT) {
          await refused(BAD, () => region.nodes(bad, 0, 1), `nodes of level ${bad}`);
          await refused(BAD, () => region.nodes(0, bad, 1), `nodes from ${bad}`);
          await refused(BAD, () => region.nodes(0, 0, bad), `${bad} nodes`);
        }
        await refused(BAD, () => region.nodes(2, 0, 1), 'a level above the root');
        await refused(BAD, () => region.nodes(0, 0, 5), 'a leaf too many');
        await refused(BAD, () => region.nodes(0, 4, 1), 'a leaf behind the last');
        await refused(BAD, () => region.nodes(1, 0, 2), 'a second root');
        await refused(BAD, () => region.nodes(0, 1, Number.MAX_SAFE_INTEGER), 'a sum above 2^53 - 1');
        equal((await region.nodes(0, 0, 4)).length, 128, 'all leaves');
      });
    },
  },
  {
    name: '[MS-007] ranges of no bytes at any offset inside, the end included, are empty',
    run: async (context) => {
      const bytes = dataOf(25, LENGTH);
      await using(await (await context.shared()).allocate(LENGTH), async (region) => {
        await region.write(0, bytes);
        for (const offset of [0, 1, BLOCK_BYTES, LENGTH]) await region.write(offset, new Uint8Array(0));
        await region.freeze();
        for (const offset of [0, 1, BLOCK_BYTES, LENGTH]) {
          equal((await region.read(offset, 0)).length, 0, `read of nothing at ${offset}`);
        }
        await unchanged(region, bytes);
      });
    },
  },
  {
    name: '[MS-007] windowBytes: everything but an integer of at least 4096 is refused at open',
    run: async (context) => {
      for (const bad of [...NO_COUNT, 0, 1, 4095]) {
        await refused(BAD, () => context.open({ windowBytes: bad }), `windowBytes ${bad}`);
      }
    },
  },
];
