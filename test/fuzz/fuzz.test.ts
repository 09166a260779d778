import { describe, expect, it } from 'vitest';
import { fuzz, loadTargets } from './run.mjs';

const RUNS = 2000;
const load = (module: string): Promise<unknown> =>
  import(new URL(`../../src/${module.replace(/\.js$/, '.ts')}`, import.meta.url).href);

describe(`fuzzing, ${RUNS} runs each, fewer of what is slow (npm run fuzz for more)`, async () => {
  for (const target of await loadTargets()) {
    const runs = Math.ceil(RUNS / (target.cost ?? 1));
    const missing = target.missing ?? null;
    it.skipIf(missing !== null)(
      missing === null ? target.name : `${target.name}: NOT RUN: ${missing}`,
      async () => {
        const report = await fuzz(target, load, { runs, seed: 20_261_122 });
        // Neither all refused nor all accepted: the inputs reach both sides.
        expect(report.accepted).toBeGreaterThan(runs / 20);
        expect(report.refused).toBeGreaterThan(runs / 20);
        expect(report.refusals.size).toBeGreaterThan(4);
      },
    );
  }
});
