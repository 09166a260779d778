import { afterAll, describe, it } from 'vitest';
import { presentBackends } from '../support/backends.js';
import { ContractRun, contractCases } from './cases.js';

const present = await presentBackends();

for (const backend of present) {
  const { target } = backend;
  if (target === null) {
    describe(`contract: ${backend.name}`, () => {
      it.skip(`NOT RUN: ${backend.missing}`);
    });
    continue;
  }
  describe(`contract: ${target.name}`, () => {
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
