import type { Device, FaultPort, Region } from '../../../src/device/types.js';
import { BLOCK_BYTES, HASH_BYTES, HASHES_PER_BLOCK } from '../../../src/digest/types.js';
import { differ, equal, fail, refused, sameBytes } from '../assert.js';
import type { ContractCase, ContractContext } from '../context.js';
import { differing, hostTree, padded, rootOf } from '../host-tree.js';
import { dataOf, sealed, using } from '../regions.js';

const LENGTH = 140 * BLOCK_BYTES + 9;
const PADDED = 141 * BLOCK_BYTES;

function drills(context: ContractContext): Promise<Device> {
  return context.shared({ drills: true });
}

function portOf(region: Region): FaultPort {
  return region.faults ?? fail('a device opened with drills gave a region without a fault port');
}

/** Every level must differ from the sound tree exactly in the nodes above the damaged block. */
async function onlyAbove(
  region: Region,
  tree: readonly Uint8Array[],
  block: number,
  what: string,
): Promise<void> {
  for (const [level, sound] of tree.entries()) {
    const got = await region.nodes(level, 0, sound.length / HASH_BYTES);
    const damaged = differing(got, sound).join(', ');
    equal(
      damaged,
      String(Math.floor(block / HASHES_PER_BLOCK ** level)),
      `${what}: damaged nodes of level ${level}`,
    );
  }
}

export const faultCases: readonly ContractCase[] = [
  {
    name: 'one flipped bit anywhere is found by the root, and located by nodes in its block and nowhere else',
    run: async (context) => {
      const bytes = dataOf(71, LENGTH);
      const tree = await hostTree(context.oracle, bytes);
      await using(await sealed(await drills(context), bytes), async (region) => {
        const port = portOf(region);
        const places = [
          [0, 1],
          [BLOCK_BYTES - 1, 0x80],
          [BLOCK_BYTES, 0x10],
          [128 * BLOCK_BYTES - 1, 2],
          [128 * BLOCK_BYTES, 4],
          [LENGTH - 1, 0x40],
          // Zeros behind the last byte are hashed, so a flip there is damage too.
          [LENGTH, 1],
          [PADDED - 1, 0x80],
        ] as const;
        for (const [byte, mask] of places) {
          const what = `mask ${mask} at byte ${byte}`;
          await port.flip(byte, mask);
          differ((await region.root()).root, rootOf(tree), what);
          await onlyAbove(region, tree, Math.floor(byte / BLOCK_BYTES), what);
          await port.flip(byte, mask);
          sameBytes((await region.root()).root, rootOf(tree), `root after ${what} was flipped back`);
        }
      });
    },
  },
  {
    name: 'flipped bytes are what read brings back, and the tree of the damaged bytes is the host’s',
    run: async (context) => {
      const bytes = dataOf(72, LENGTH);
      await using(await sealed(await drills(context), bytes), async (region) => {
        const model = padded(bytes);
        for (let i = 0; i < 12; i++) {
          const byte = (i * 104_729) % PADDED;
          const mask = 1 << (i % 8);
          model[byte] = (model[byte] ?? 0) ^ mask;
          await portOf(region).flip(byte, mask);
        }
        sameBytes(await region.read(0, LENGTH), model.subarray(0, LENGTH), 'bytes');
        const tree = await hostTree(context.oracle, model);
        sameBytes((await region.root()).root, rootOf(tree), 'root');
      });
    },
  },
  {
    name: 'a damaged block is healed by patch, also where the damage lies in the padding',
    run: async (context) => {
      const bytes = dataOf(73, LENGTH);
      const tree = await hostTree(context.oracle, bytes);
      await using(await sealed(await drills(context), bytes), async (region) => {
        for (const byte of [5 * BLOCK_BYTES + 17, LENGTH - 2, PADDED - 3]) {
          await portOf(region).flip(byte, 8);
          const block = Math.floor(byte / BLOCK_BYTES);
          await region.patch(block, bytes.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES));
          sameBytes((await region.root()).root, rootOf(tree), `root after healing byte ${byte}`);
        }
      });
    },
  },
  {
    name: 'flip refuses bytes outside the padded data and masks that are not a byte or change nothing',
    run: async (context) => {
      const bytes = dataOf(74, LENGTH);
      await using(await sealed(await drills(context), bytes), async (region) => {
        const port = portOf(region);
        const { root } = await region.root();
        for (const byte of [-1, 0.5, Number.NaN, PADDED, 2 ** 32, 2 ** 53]) {
          await refused('INVALID_INPUT', () => port.flip(byte, 1), `flip of byte ${byte}`);
        }
        for (const mask of [0, -1, 256, 0.5, Number.NaN]) {
          await refused('INVALID_INPUT', () => port.flip(0, mask), `flip with mask ${mask}`);
        }
        sameBytes((await region.root()).root, root, 'root');
      });
    },
  },
  {
    name: 'a flip and a freeze asked for at once both end, the flip first',
    run: async (context) => {
      const bytes = dataOf(76, 3 * BLOCK_BYTES);
      await using(await (await drills(context)).allocate(bytes.length), async (region) => {
        await region.write(0, bytes);
        await Promise.all([portOf(region).flip(BLOCK_BYTES, 4), region.freeze()]);
        const flipped = bytes.slice();
        flipped[BLOCK_BYTES] = (flipped[BLOCK_BYTES] ?? 0) ^ 4;
        sameBytes((await region.root()).root, rootOf(await hostTree(context.oracle, flipped)), 'root');
      });
    },
  },
  {
    name: 'flip on a released region is refused',
    run: async (context) => {
      const region = await sealed(await drills(context), dataOf(75, BLOCK_BYTES));
      const port = portOf(region);
      await region.release();
      await refused('NOT_FOUND', () => port.flip(0, 1), 'flip');
    },
  },
  {
    name: '[MS-009] a device opened without drills gives no fault port',
    run: async (context) => {
      for (const device of [await context.shared(), await context.shared({ drills: false })]) {
        await using(await device.allocate(10), async (region) => {
          if (region.faults !== null) fail('a fault port is there');
        });
      }
    },
  },
];
