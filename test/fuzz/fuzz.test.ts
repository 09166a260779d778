import { describe, expect, it } from 'vitest';
import { fuzz, loadTargets } from './run.mjs';

const RUNS = 2000;
const load = (module: string): Promise<unknown> =>
  import(new URL(`../../src/${module.replace(/\.js$/, '.ts')}`, import.meta.url).href);

describe(`fuzzing, ${RUNS} runs each (npm run fuzz for more)`, async () => {
  it.each(await loadTargets())('$name', async (target) => {
    const report = await fuzz(target, load, { runs: RUNS, seed: 20_261_122 });
    // Neither all refused nor all accepted: the inputs reach both sides.
    expect(report.accepted).toBeGreaterThan(RUNS / 20);
    expect(report.refused).toBeGreaterThan(RUNS / 20);
    expect(report.refusals.size).toBeGreaterThan(4);
  });
});
