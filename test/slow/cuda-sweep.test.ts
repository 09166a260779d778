import { expect, it } from 'vitest';
import { countCalls, sweepOne } from '../cuda/sweep.js';
import { describeCuda } from '../cuda/testbed.js';

/** An argument error, want of memory, and a void context. */
const RESULTS = [1, 2, 719];
const TEN_MINUTES = 600_000;

describeCuda('cuda: every call of every driver function made to fail', (bed) => {
  it.each(RESULTS)(
    '[MS-002] [RP-006] with result %i: reached, told by type, nothing left behind',
    async (result) => {
      const calls = await countCalls(bed);
      const findings: unknown[] = [];
      let runs = 0;
      for (const [call, count] of calls) {
        for (let nth = 1; nth <= count; nth++) {
          const finding = await sweepOne(bed, call, nth, result);
          if (finding !== null) findings.push(finding);
          runs++;
        }
      }
      process.stdout.write(
        `result ${result}: ${calls.length} functions, ${runs} calls, ${findings.length} findings\n`,
      );
      expect(findings).toEqual([]);
    },
    TEN_MINUTES,
  );
});
