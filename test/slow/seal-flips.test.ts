import { describe, expect, it } from 'vitest';
import { presentBackends, segmentedWebGpuTargets } from '../support/backends.js';
import { CHECK_OF, drawFlip, FlipBench, PLACES, random, SIZES } from '../support/seal-flips.js';

const backends = [...(await presentBackends()), ...(await segmentedWebGpuTargets())];
/**
 * Of each target: how many, 10,000 and more in all where every backend is present; and how many out of a hundred have each
 * size. An interpreter of PTX, and SwiftShader, hash a few MB in a second.
 */
const DRAWS: Readonly<Record<string, { readonly flips: number; readonly shares: readonly number[] }>> = {
  host: { flips: 3500, shares: [25, 25, 25, 25] },
  webgpu: { flips: 800, shares: [55, 25, 12, 8] },
  cuda: { flips: 1000, shares: [80, 12, 6, 2] },
};

describe.each(backends.map((backend, index) => ({ ...backend, index })))(
  "random flips under hashing 'device' on $name",
  ({ target, missing, index }) => {
    it.skipIf(target === null)(
      `each one is refused, by the check that is there for it${missing === null ? '' : ` (SKIPPED: ${missing})`}`,
      async () => {
        if (target === null) return;
        const bench = await FlipBench.open(target);
        const next = random(0x9e3779b9 + index);
        const draws = DRAWS[target.name.split(' ')[0] ?? ''];
        if (draws === undefined) throw new Error(`no draws are planned for ${target.name}`);
        const told = new Map<string, number>();
        for (const byteLength of SIZES) await bench.sealSound(byteLength);
        for (let drawn = 0; drawn < draws.flips; drawn++) {
          const place = PLACES[drawn % PLACES.length] ?? 'file';
          const byteLength = sizeOf(draws.shares, next(100));
          const flip = drawFlip(next, place, byteLength);
          const what = `flip ${drawn}: ${place}, byte ${flip.byte} of ${byteLength}, mask ${flip.mask}`;
          const check = await bench.refusedBy(byteLength, flip);
          expect(check, what).toBe(CHECK_OF[place]);
          const row = `${byteLength} bytes, ${place}: ${check}`;
          told.set(row, (told.get(row) ?? 0) + 1);
        }
        expect(bench.leftRegions).toBe(0);
        await bench.close();
        const rows = [...told].sort().map(([row, count]) => `  ${row} ${count}`);
        console.log(`${target.name}: ${draws.flips} flips, all refused\n${rows.join('\n')}`);
      },
      3_600_000,
    );
  },
);

function sizeOf(shares: readonly number[], draw: number): number {
  let below = 0;
  for (const [index, share] of shares.entries()) {
    below += share;
    if (draw < below) return SIZES[index] ?? SIZES[0];
  }
  return SIZES[0];
}
