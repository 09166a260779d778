import { collectedCases } from './collector.js';
import type { SuiteCase } from './run-cases.js';

/** The cases of test/cuda. Loading them asks for the testbed, so openTestbed() comes first. */
export async function groupsSuite(): Promise<readonly SuiteCase[]> {
  await import('../../../test/cuda/context.test.js');
  await import('../../../test/cuda/allocation.test.js');
  await import('../../../test/cuda/memory-operations.test.js');
  await import('../../../test/cuda/bounds.test.js');
  await import('../../../test/cuda/memory-information.test.js');
  await import('../../../test/cuda/resources.test.js');
  return collectedCases();
}
