import { mergeConfig } from 'vitest/config';
import quick from './vitest.config.js';

// npm run test:slow: minutes and gigabytes. The include list replaces the quick one, which mergeConfig would only extend.
const slow = mergeConfig(quick, { test: { testTimeout: 3_600_000, hookTimeout: 600_000, maxWorkers: 1 } });
if (slow.test) {
  slow.test.include = ['test/slow/**/*.test.ts'];
  slow.test.exclude = ['node_modules/**'];
}

export default slow;
