import { differ, equal, sameBytes } from '../assert.js';
import type { ContractCase } from '../context.js';
import { hostTree, rootOf } from '../host-tree.js';
import { dataOf, SMALL_WINDOW, sealed, using } from '../regions.js';

export const isolationCases: readonly ContractCase[] = [
  {
    name: '[CI-008] two devices at once, with different windows: each has its own regions and the right roots',
    run: async (context) => {
      const one = await context.open();
      const two = await context.open({ windowBytes: SMALL_WINDOW });
      const a = dataOf(101, 200_001);
      const b = dataOf(102, 300_002);
      const [regionA, regionB] = await Promise.all([sealed(one, a), sealed(two, b)]);
      const [rootA, rootB] = await Promise.all([regionA.root(), regionB.root()]);
      sameBytes(rootA.root, rootOf(await hostTree(context.oracle, a)), 'root on the first');
      sameBytes(rootB.root, rootOf(await hostTree(context.oracle, b)), 'root on the second');
      await one.close();
      sameBytes((await regionB.root()).root, rootB.root, 'root on the second after the first was closed');
      equal(two.stats().liveRegions, 1, 'live regions of the second');
      await two.close();
    },
  },
  {
    name: 'two regions filled in turns keep to themselves, and one’s release leaves the other alone',
    run: async (context) => {
      const device = await context.shared();
      const a = dataOf(103, 150_000);
      const b = dataOf(104, 150_000);
      const first = await device.allocate(a.length);
      const second = await device.allocate(b.length);
      await using(first, () =>
        using(second, async () => {
          for (let at = 0; at < a.length; at += 9999) {
            await Promise.all([
              first.write(at, a.subarray(at, at + 9999)),
              second.write(at, b.subarray(at, at + 9999)),
            ]);
          }
          await second.freeze();
          sameBytes(await second.read(0, b.length), b, 'second');
          await first.freeze();
          sameBytes(await first.read(0, a.length), a, 'first');
          await first.release();
          sameBytes(
            (await second.root()).root,
            rootOf(await hostTree(context.oracle, b)),
            'root of the second',
          );
        }),
      );
    },
  },
  {
    name: 'root, nodes and read of two regions at once: every answer is its own region’s',
    run: async (context) => {
      const device = await context.shared({ windowBytes: SMALL_WINDOW });
      const a = dataOf(105, 500_003);
      const b = dataOf(106, 90_000);
      const treeA = await hostTree(context.oracle, a);
      const treeB = await hostTree(context.oracle, b);
      await using(await sealed(device, a), async (first) => {
        await using(await sealed(device, b), async (second) => {
          const [rootA, rootB, leavesA, leavesB, bytesB, again] = await Promise.all([
            first.root(),
            second.root(),
            first.nodes(0, 0, 123),
            second.nodes(0, 0, 22),
            second.read(0, b.length),
            first.root(),
          ]);
          sameBytes(rootA.root, rootOf(treeA), 'root of the first');
          sameBytes(rootB.root, rootOf(treeB), 'root of the second');
          sameBytes(
            leavesA,
            (treeA[0] ?? new Uint8Array()).subarray(0, leavesA.length),
            'leaves of the first',
          );
          sameBytes(leavesB, treeB[0] ?? new Uint8Array(), 'leaves of the second');
          sameBytes(bytesB, b, 'bytes of the second');
          sameBytes(again.root, rootA.root, 'root of the first again');
          equal(rootB.blocks, 22, 'blocks of the second');
        });
      });
    },
  },
  {
    name: 'a root under way while another region is released is right or refused, and the next one is right',
    run: async (context) => {
      const device = await context.shared();
      const a = dataOf(107, 400_000);
      const tree = await hostTree(context.oracle, a);
      await using(await sealed(device, a), async (first) => {
        const second = await sealed(device, dataOf(108, 400_000));
        const [root] = await Promise.all([first.root(), second.release()]);
        sameBytes(root.root, rootOf(tree), 'root');
        sameBytes((await first.root()).root, rootOf(tree), 'root afterwards');
      });
    },
  },
  {
    name: 'answers belong to the caller: changing them changes neither region nor later answers',
    run: async (context) => {
      const bytes = dataOf(109, 10_000);
      await using(await sealed(await context.shared(), bytes), async (region) => {
        const first = await region.root();
        const sound = first.root.slice();
        first.root.fill(0);
        (await region.nodes(0, 0, 3)).fill(0);
        (await region.read(0, bytes.length)).fill(0);
        bytes.fill(0);
        sameBytes((await region.root()).root, sound, 'root');
        differ(await region.read(0, bytes.length), bytes, 'bytes');
      });
    },
  },
];
