import type { Region } from '../../../src/device/types.js';
import { BLOCK_BYTES } from '../../../src/digest/types.js';
import { equal, refused, sameBytes } from '../assert.js';
import type { ContractCase, ContractContext } from '../context.js';
import { hostTree, rootOf } from '../host-tree.js';
import { dataOf, sealed } from '../regions.js';

/** Of one block and of many, up to a whole group of 128; more than that is a run of its own. */
const SIZES = [1, BLOCK_BYTES + 1, 128 * BLOCK_BYTES, 16 * BLOCK_BYTES, BLOCK_BYTES, 9000, 129 * BLOCK_BYTES];

interface Known {
  readonly region: Region;
  readonly root: Uint8Array;
}

/** Regions of all sizes, with what their roots have to be; released afterwards, whatever happened. */
async function withRegions(
  context: ContractContext,
  options: { readonly drills?: boolean },
  work: (known: readonly Known[]) => Promise<void>,
): Promise<void> {
  const device = await context.shared(options);
  const known: Known[] = [];
  try {
    for (const [index, byteLength] of SIZES.entries()) {
      const bytes = dataOf(140 + index, byteLength);
      const region = await sealed(device, bytes);
      known.push({ region, root: rootOf(await hostTree(context.oracle, bytes)) });
    }
    const cuts = [0, BLOCK_BYTES, 3 * BLOCK_BYTES];
    const bytes = dataOf(160, 4 * BLOCK_BYTES - 9);
    const region = await device.allocate(bytes.length, { cuts });
    known.push({ region, root: rootOf(await hostTree(context.oracle, bytes)) });
    await region.write(0, bytes);
    await region.freeze();
    await work(known);
  } finally {
    for (const { region } of known) await region.release();
  }
}

async function expectRoots(known: readonly Known[], damaged: Region | null): Promise<void> {
  const roots = await Promise.all(known.map(({ region }) => region.root()));
  for (const [index, { region, root }] of known.entries()) {
    const got = roots[index]?.root ?? new Uint8Array();
    const what = `root ${index}, of ${region.byteLength} bytes`;
    if (region !== damaged) sameBytes(got, root, what);
    else
      equal(
        got.every((byte, at) => byte === root[at]),
        false,
        `${what}, damaged, as it was`,
      );
    equal(roots[index]?.blocks ?? 0, Math.ceil(region.byteLength / BLOCK_BYTES), `blocks of ${what}`);
  }
}

export const togetherCases: readonly ContractCase[] = [
  {
    name: "[CI-008] roots that are asked for together are each region's own",
    run: (context) => withRegions(context, {}, (known) => expectRoots(known, null)),
  },
  {
    name: '[CI-004] one damaged region among roots that are asked for together changes no other root',
    run: (context) =>
      withRegions(context, { drills: true }, async (known) => {
        for (const index of [0, 3]) {
          const region = known[index]?.region ?? null;
          const byte = (region?.byteLength ?? 1) - 1;
          await region?.faults?.flip(byte, 0x40);
          await expectRoots(known, region);
          await region?.faults?.flip(byte, 0x40);
        }
        await expectRoots(known, null);
      }),
  },
  {
    name: 'an aborted root among others that are asked for together ends alone',
    run: (context) =>
      withRegions(context, {}, async (known) => {
        const signal = AbortSignal.abort();
        const roots = known.map(({ region }, index) =>
          index === 2
            ? refused('ABORTED', () => region.root({ signal }), 'an aborted root')
            : region.root().then(({ root }) => sameBytes(root, known[index]?.root ?? root, `root ${index}`)),
        );
        await Promise.all(roots);
      }),
  },
];
