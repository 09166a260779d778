import { equal, ok, refused, sameBytes } from '../assert.js';
import type { ContractCase } from '../context.js';
import { hostTree, rootOf } from '../host-tree.js';
import { affordable, dataOf, SMALL_WINDOW, sealed, using } from '../regions.js';

/** Nine windows and one byte: more than any backend runs between two waits for its device. */
const LENGTH = 9 * SMALL_WINDOW + 1;

export const progressCases: readonly ContractCase[] = [
  {
    name: 'progress of a root: told on the way, always more, and the whole length at the end',
    run: async (context) => {
      const bytes = dataOf(71, affordable(context, LENGTH));
      const device = await context.shared({ windowBytes: SMALL_WINDOW });
      await using(await sealed(device, bytes), async (region) => {
        const heard: number[] = [];
        const { root } = await region.root({ onProgress: (done) => heard.push(done) });
        sameBytes(root, rootOf(await hostTree(context.oracle, bytes)), 'root');
        ok(heard.length > 1, `was told ${heard.length} times, must be told before the end too`);
        ok(
          heard.every((done, index) => done > (heard[index - 1] ?? 0)),
          `does not grow: ${heard.join(', ')}`,
        );
        equal(heard.at(-1) ?? 0, LENGTH, 'the last');
      });
    },
  },
  {
    name: 'progress of a root in one window: the whole length, once',
    run: async (context) => {
      const bytes = dataOf(72, 9000);
      await using(await sealed(await context.shared(), bytes), async (region) => {
        const heard: number[] = [];
        await region.root({ onProgress: (done) => heard.push(done) });
        equal(heard.join(', '), '9000', 'progress');
      });
    },
  },
  {
    name: 'progress of a root that is aborted: nothing after the signal has fired',
    run: async (context) => {
      const bytes = dataOf(73, affordable(context, LENGTH));
      const device = await context.shared({ windowBytes: SMALL_WINDOW });
      await using(await sealed(device, bytes), async (region) => {
        const aborting = new AbortController();
        const heard: number[] = [];
        const aborted = region.root({
          signal: aborting.signal,
          onProgress: (done) => {
            heard.push(done);
            aborting.abort();
          },
        });
        await refused('ABORTED', () => aborted, 'root');
        equal(heard.length, 1, 'told');
        sameBytes(
          (await region.root()).root,
          rootOf(await hostTree(context.oracle, bytes)),
          'root afterwards',
        );
      });
    },
  },
];
