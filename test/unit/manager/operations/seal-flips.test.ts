import { describe, expect, it } from 'vitest';
import { presentBackends } from '../../../support/backends.js';
import {
  CHECK_OF,
  drawFlip,
  FlipBench,
  NATIVE_SIZE,
  PLACES,
  random,
  SIZES,
} from '../../../support/seal-flips.js';

const backends = await presentBackends();

/** A part of what test/slow/seal-flips.test.ts draws: every place on every backend, the larger sizes on fast ones alone. */
describe.each(backends)("one flipped bit under hashing 'device' on $name", ({ target, missing }) => {
  it.skipIf(target === null)(
    `[CI-004] [CI-009] is refused wherever it is, by the check that is there for ` +
      `it${missing === null ? '' : ` (SKIPPED: ${missing})`}`,
    async () => {
      if (target === null) return;
      const bench = await FlipBench.open(target);
      const next = random(0x5eed);
      const sizes = target.name.startsWith('host') ? [...SIZES, NATIVE_SIZE] : SIZES.slice(0, 2);
      for (const byteLength of sizes) {
        await bench.sealSound(byteLength);
        for (const place of PLACES) {
          const flip = drawFlip(next, place, byteLength);
          const what = `${place}, byte ${flip.byte} of ${byteLength}, mask ${flip.mask}`;
          expect(await bench.refusedBy(byteLength, flip), what).toBe(CHECK_OF[place]);
        }
      }
      expect(bench.leftRegions).toBe(0);
      await bench.close();
    },
  );
});
