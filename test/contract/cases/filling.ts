import type { Region } from '../../../src/device/types.js';
import { BLOCK_BYTES, FILE_WINDOW_BYTES, type FillNatively } from '../../../src/digest/types.js';
import { equal, fail, ok, refused, sameBytes } from '../assert.js';
import type { ContractCase, ContractContext, NativeFile } from '../context.js';
import { hostTree, rootOf } from '../host-tree.js';
import { affordable, dataOf, using } from '../regions.js';

const MIB = 1024 * 1024;
const LENGTH = 3 * BLOCK_BYTES + 17;

/** A region that native code fills, and a file with the bytes. Skips where the target has no such thing. */
async function filling(
  context: ContractContext,
  bytes: Uint8Array,
  work: (filled: { region: Region; fill: FillNatively; file: NativeFile }) => Promise<void>,
): Promise<void> {
  const { nativeFile } = context.target;
  await using(await (await context.shared()).allocate(bytes.length), async (region) => {
    const { fillNatively } = region;
    if (fillNatively === undefined) context.skip('native code does not reach memory of this backend');
    if (nativeFile === undefined) context.skip('no native code that reads files runs here');
    const file = await nativeFile(bytes);
    try {
      await work({ region, fill: fillNatively.bind(region), file });
    } finally {
      await file.close();
    }
  });
}

export const fillingCases: readonly ContractCase[] = [
  {
    name: 'what native code reads from a file is what is read back and hashed, in ranges of odd lengths',
    run: async (context) => {
      const bytes = dataOf(51, affordable(context, MIB + 12_345));
      await filling(context, bytes, async ({ region, fill, file }) => {
        const before = (await context.shared()).stats().uploadedBytes;
        const step = 300_007;
        for (let at = 0; at < bytes.length; at += step) {
          const length = Math.min(step, bytes.length - at);
          await fill(at, length, (sink) => file.read(sink, at, length));
        }
        equal((await context.shared()).stats().uploadedBytes - before, bytes.length, 'uploaded bytes');
        await region.freeze();
        sameBytes(await region.read(0, bytes.length), bytes, 'bytes');
        sameBytes((await region.root()).root, rootOf(await hostTree(context.oracle, bytes)), 'root');
      });
    },
  },
  {
    name: 'fills under way together all arrive, in whatever order they end, and freeze waits for them',
    run: async (context) => {
      const bytes = dataOf(52, 7 * 50_001);
      await filling(context, bytes, async ({ region, fill, file }) => {
        let release: () => void = () => undefined;
        const held = new Promise<void>((resolve) => {
          release = resolve;
        });
        let ended = 0;
        const fills = Array.from({ length: 7 }, (_, i) =>
          fill(i * 50_001, 50_001, async (sink) => {
            // The first one ends last.
            if (i === 0) await held;
            await file.read(sink, i * 50_001, 50_001);
            ended++;
          }),
        );
        const frozen = region.freeze().then(() => ended);
        await Promise.all(fills.slice(1));
        release();
        equal(await frozen, 7, 'fills that had ended before freeze resolved');
        await Promise.all(fills);
        sameBytes(await region.read(0, bytes.length), bytes, 'bytes');
      });
    },
  },
  {
    name: 'a fill that fails has its own error, and the range can be filled again',
    run: async (context) => {
      const bytes = dataOf(53, LENGTH);
      await filling(context, bytes, async ({ region, fill, file }) => {
        const failure = new Error('the disk is gone');
        const caught: unknown = await fill(0, LENGTH, async (sink) => {
          await file.read(sink, 0, LENGTH);
          throw failure;
        }).then(
          () => null,
          (error: unknown) => error,
        );
        ok(caught === failure, `the fill failed with its own error, not ${String(caught)}`);
        await fill(0, LENGTH, (sink) => file.read(sink, 0, LENGTH));
        await region.freeze();
        sameBytes(await region.read(0, LENGTH), bytes, 'bytes');
      });
    },
  },
  {
    name: 'native code that comes late, after its fill has ended either way, reaches nothing',
    run: async (context) => {
      const bytes = dataOf(54, LENGTH);
      await filling(context, bytes, async ({ region, fill, file }) => {
        const late: (() => Promise<void>)[] = [];
        const keep =
          (end: () => Promise<void>): Parameters<FillNatively>[2] =>
          async (sink) => {
            late.push(() => file.read(sink, 0, LENGTH));
            await file.read(sink, 0, LENGTH);
            await end();
          };
        await fill(
          0,
          LENGTH,
          keep(() => Promise.reject(new Error('abandoned'))),
        ).catch(() => undefined);
        await fill(
          0,
          LENGTH,
          keep(() => Promise.resolve()),
        );
        equal(late.length, 2, 'fills');
        for (const read of late) await closed(read);
        await region.freeze();
        for (const read of late) await closed(read);
        sameBytes(await region.read(0, LENGTH), bytes, 'bytes');
        sameBytes((await region.root()).root, rootOf(await hostTree(context.oracle, bytes)), 'root');
      });
    },
  },
  {
    name: 'release withdraws memory from native code that hangs, and waits for none',
    run: async (context) => {
      await filling(context, dataOf(55, LENGTH), async ({ region, fill, file }) => {
        let late: (() => Promise<void>) | null = null;
        let goOn: () => void = () => undefined;
        const hung = new Promise<void>((resolve) => {
          goOn = resolve;
        });
        const filled = fill(0, LENGTH, async (sink) => {
          late = () => file.read(sink, 0, LENGTH);
          await hung;
          await file.read(sink, 0, LENGTH);
        });
        const outcome = filled.then(
          () => 'filled',
          (error: unknown) => error,
        );
        // The fill has begun by the time that a call made after it has ended.
        await region.read(0, 1);
        await region.release();
        if (late === null) fail('the fill never began');
        await closed(late);
        goOn();
        const error = await outcome;
        await refused('NOT_FOUND', () => Promise.reject(error), 'the fill');
      });
    },
  },
  {
    name: 'fills of ranges outside the region, of nothing, of too much, and after freeze are refused',
    run: async (context) => {
      const bytes = dataOf(56, LENGTH);
      await filling(context, bytes, async ({ region, fill, file }) => {
        const never = (): Promise<void> => fail('a refused fill was carried out');
        for (const [offset, length] of [
          [0, LENGTH + 1],
          [LENGTH, 1],
          [-1, 1],
          [0, 0],
          [0, -1],
          [0.5, 1],
          [0, Number.NaN],
          [0, FILE_WINDOW_BYTES + 1],
        ] as const) {
          await refused('INVALID_INPUT', () => fill(offset, length, never), `${length} bytes at ${offset}`);
        }
        await fill(0, LENGTH, (sink) => file.read(sink, 0, LENGTH));
        await region.freeze();
        await refused('INVALID_INPUT', () => fill(0, LENGTH, never), 'a fill after freeze');
        sameBytes(await region.read(0, LENGTH), bytes, 'bytes');
        await region.release();
        await refused('NOT_FOUND', () => fill(0, LENGTH, never), 'a fill after release');
      });
    },
  },
];

/** The read must be refused because its sink is closed. */
async function closed(read: () => Promise<void>): Promise<void> {
  const error: unknown = await read().then(
    () => null,
    (caught: unknown) => caught,
  );
  const code = error instanceof Error && 'code' in error ? error.code : null;
  ok(code === 'CLOSED', `a read to a closed sink is refused with CLOSED, not ${String(error)}`);
}
