import type { OpenOptions } from '../../../src/device/types.js';
import { BLOCK_BYTES, HASH_BYTES } from '../../../src/digest/types.js';
import { equal, sameBytes } from '../assert.js';
import type { ContractCase, ContractContext } from '../context.js';
import { hostTree, rootOf } from '../host-tree.js';
import { affordable, dataOf, SMALL_WINDOW, sealed, using } from '../regions.js';

const MIB = 1024 * 1024;
const SIZES = [1, 4095, 4096, 4097, 524288, 524289, 3 * MIB + 1];
const WINDOWS: readonly { readonly label: string; readonly options: OpenOptions }[] = [
  { label: 'the default window', options: {} },
  { label: 'a window of 192 KiB', options: { windowBytes: SMALL_WINDOW } },
];

async function rootAndNodes(
  context: ContractContext,
  byteLength: number,
  options: OpenOptions,
): Promise<void> {
  const bytes = dataOf(byteLength, affordable(context, byteLength));
  const tree = await hostTree(context.oracle, bytes);
  await using(await sealed(await context.shared(options), bytes), async (region) => {
    const answer = await region.root();
    sameBytes(answer.root, rootOf(tree), 'root');
    equal(answer.blocks, Math.ceil(byteLength / BLOCK_BYTES), 'blocks hashed');
    for (const [level, hashes] of tree.entries()) {
      sameBytes(await region.nodes(level, 0, hashes.length / HASH_BYTES), hashes, `nodes of level ${level}`);
    }
    sameBytes((await region.root()).root, rootOf(tree), 'root, second time');
  });
}

const bySize = SIZES.flatMap((byteLength) =>
  WINDOWS.map(
    ({ label, options }): ContractCase => ({
      name: `[CI-008] ${byteLength} bytes with ${label}: root and nodes of every level are the host's`,
      run: (context) => rootAndNodes(context, byteLength, options),
    }),
  ),
);

export const treeCases: readonly ContractCase[] = [
  ...bySize,
  {
    name: '[CI-008] a window of one block: root and nodes of every level are the host’s',
    run: (context) => rootAndNodes(context, 3 * BLOCK_BYTES + 1, { windowBytes: BLOCK_BYTES }),
  },
  {
    name: '[CI-008] the largest size that this target bears, up to 24 MiB: root and nodes of every level are the host’s',
    run: (context) => rootAndNodes(context, Math.min(context.maxBytes, 24 * MIB) - 1, {}),
  },
  {
    name: '[CI-008] more than 65,535 workgroups of 64 invocations of 16 bytes: root and blocks are the host’s',
    run: async (context) => {
      const bytes = dataOf(12, affordable(context, 65_536 * 1024 + BLOCK_BYTES + 1));
      await using(await sealed(await context.shared(), bytes), async (region) => {
        const answer = await region.root();
        sameBytes(answer.root, rootOf(await hostTree(context.oracle, bytes)), 'root');
        equal(answer.blocks, 16_386, 'blocks hashed');
      });
    },
  },
  {
    name: '[CI-008] any part of any level: the same hashes as in the whole level',
    run: async (context) => {
      const bytes = dataOf(11, affordable(context, MIB + 3 * BLOCK_BYTES + 5));
      const tree = await hostTree(context.oracle, bytes);
      for (const { label, options } of WINDOWS) {
        await using(await sealed(await context.shared(options), bytes), async (region) => {
          for (const [level, hashes] of tree.entries()) {
            const count = hashes.length / HASH_BYTES;
            const parts = [
              [0, 1],
              [count - 1, 1],
              [Math.floor(count / 3), Math.ceil(count / 2)],
              [Math.min(1, count - 1), Math.max(1, count - 1)],
            ] as const;
            for (const [first, requested] of parts) {
              const length = Math.min(requested, count - first);
              sameBytes(
                await region.nodes(level, first, length),
                hashes.subarray(first * HASH_BYTES, (first + length) * HASH_BYTES),
                `nodes [${first}, ${first + length}) of level ${level} with ${label}`,
              );
            }
          }
        });
      }
    },
  },
  {
    name: '[CI-008] data that was never written is zeros, and hashes as zeros',
    run: async (context) => {
      const tree = await hostTree(context.oracle, new Uint8Array(20_000));
      const device = await context.shared();
      // Memory that held something else before must not show through.
      await using(await sealed(device, dataOf(5, 20_000)), (region) => region.root());
      await using(await device.allocate(20_000), async (region) => {
        await region.freeze();
        sameBytes((await region.root()).root, rootOf(tree), 'root');
        sameBytes(await region.read(0, 20_000), new Uint8Array(20_000), 'read');
      });
    },
  },
];
