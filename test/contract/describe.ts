import { afterAll, describe, it } from 'vitest';
import type { PresentBackend } from '../support/backends.js';
import { ContractRun, contractCases } from './cases.js';

/**
 * The whole suite under vitest, one test a case; a backend that is missing shows as one skipped test with the reason in its
 * name.
 */
export function describeContract(backends: readonly PresentBackend[]): void {
  for (const { name, target, missing } of backends) {
    describe(`contract: ${name}`, () => {
      if (target === null) {
        it.skip(`NOT RUN: ${missing}`);
        return;
      }
      const run = new ContractRun(target);
      afterAll(() => run.close());
      for (const test of contractCases) {
        it(test.name, async ({ skip }) => {
          const outcome = await run.run(test);
          if (outcome.status === 'skipped') skip(outcome.reason);
          if (outcome.status === 'failed') throw outcome.error;
        });
      }
    });
  }
}
