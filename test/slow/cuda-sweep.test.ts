import { expect, it } from 'vitest';
import { countCalls, managerWork, regionWork, sweepOne } from '../cuda/sweep.js';
import { describeCuda } from '../cuda/testbed.js';

/** An argument error, want of memory, and a void context. */
const RESULTS = [1, 2, 719];
const RUNS = RESULTS.flatMap((result) => [
  ['device, region and lease', result, regionWork] as const,
  ['seal, verify, heal, execute, release', result, managerWork] as const,
]);
const TEN_MINUTES = 600_000;

describeCuda('cuda: every call of every driver function made to fail', (bed) => {
  it.each(RUNS)(
    '[MS-002] [RP-006] %s with result %i: reached, told by type, nothing left behind',
    async (name, result, work) => {
      const calls = await countCalls(bed, work);
      const findings: unknown[] = [];
      let runs = 0;
      for (const [call, count] of calls) {
        for (let nth = 1; nth <= count; nth++) {
          const finding = await sweepOne(bed, work, call, nth, result);
          if (finding !== null) findings.push(finding);
          runs++;
        }
      }
      process.stdout.write(
        `${name}, result ${result}: ${calls.length} functions, ${runs} calls, ${findings.length} findings\n`,
      );
      expect(findings).toEqual([]);
    },
    TEN_MINUTES,
  );
});
