import type { DeviceInfo } from '../../../src/device/types.js';
import { nodeWebGpuBackend } from '../../../src/node/devices/webgpu.js';
import { ContractRun } from '../../../test/contract/cases.js';
import { casesOf, contractSuite } from './contract.js';
import { expectedSkips } from './expected.js';
import { groupsSuite } from './groups.js';
import type { Outcome } from './outcome.js';
import { runInOwnProcess } from './own-process.js';
import type { SuiteResult } from './result.js';
import { judge } from './result.js';
import type { SuiteCase } from './run-cases.js';
import { inWords, runCases } from './run-cases.js';
import type { DriverTestbed } from './testbed.js';
import { openTestbed } from './testbed.js';
import { webGpuTarget } from './webgpu.js';

export const SUITES = ['contract', 'groups', 'webgpu'] as const;
export type SuiteName = (typeof SUITES)[number];

export interface SuiteOptions {
  readonly addonPath: string;
  /** The CUDA device, as the driver counts. */
  readonly index: number;
  /** Largest region that a case of the contract may make. */
  readonly maxBytes: number;
  /** For each case, in milliseconds. */
  readonly limitMs: number;
  /** The one case to run, even if it voids this process's context; null for all. */
  readonly only: string | null;
}

/** The result with the device it was made on; `device` is null if it could not be opened. */
export interface SuiteDocument extends SuiteResult {
  readonly device: Pick<DeviceInfo, 'index' | 'name' | 'uuid' | 'driver' | 'execution'> | null;
}

/** The contract suite, which every backend has to pass, on the real driver. */
export function runContract(options: SuiteOptions): Promise<SuiteDocument> {
  return runSuite('contract', options, async (bed) => contractSuite(bed, options.maxBytes));
}

/** The CUDA groups: context, allocation, memory operations, bounds, memory information, resources. */
export function runGroups(options: SuiteOptions): Promise<SuiteDocument> {
  return runSuite('groups', options, () => groupsSuite());
}

/**
 * The contract suite on the first WebGPU adapter that Dawn finds. The options `addonPath` and `index` are ignored.
 */
export async function runWebGpu({ maxBytes, limitMs, only }: SuiteOptions): Promise<SuiteDocument> {
  const [info] = await nodeWebGpuBackend().list();
  if (info === undefined) {
    const failed: Outcome = {
      name: 'webgpu:0 can be opened',
      status: 'failed',
      error: 'there is no WebGPU adapter',
    };
    return { ...judge('webgpu', [failed], {}), device: null };
  }
  const run = new ContractRun(webGpuTarget(maxBytes));
  const cases = casesOf(run).filter(({ name }) => only === null || name === only);
  const outcomes = await runCases(cases, { limitMs, ownProcess: noOwnProcess });
  await run.close();
  const { index, name, uuid, driver, execution } = info;
  const result = judge('webgpu', outcomes, expectedSkips('webgpu', { maxBytes, only }));
  return { ...result, device: { index, name, uuid, driver, execution } };
}

/** WebGPU devices are lost individually, so no case voids its process. */
function noOwnProcess(name: string): Promise<Outcome> {
  return Promise.resolve({ name, status: 'failed', error: 'asked for a process of its own' });
}

async function runSuite(
  suite: SuiteName,
  options: SuiteOptions,
  load: (bed: DriverTestbed) => Promise<readonly SuiteCase[]>,
): Promise<SuiteDocument> {
  const { index, only } = options;
  let bed: DriverTestbed;
  try {
    bed = await openTestbed({ addonPath: options.addonPath, index, ownProcess: only !== null });
  } catch (error) {
    const failed: Outcome = { name: `cuda:${index} can be opened`, status: 'failed', error: inWords(error) };
    return { ...judge(suite, [failed], {}), device: null };
  }
  try {
    const cases = (await load(bed)).filter(({ name }) => only === null || name === only);
    const outcomes = await runCases(cases, {
      limitMs: options.limitMs,
      ownProcess: (name) => runInOwnProcess(suiteArguments(suite, options), name, options.limitMs),
    });
    const { name, uuid, driver, execution } = bed.info;
    const result = judge(suite, outcomes, expectedSkips(suite, options));
    return { ...result, device: { index, name, uuid, driver, execution } };
  } finally {
    await bed.close();
  }
}

function suiteArguments(suite: SuiteName, { addonPath, index, maxBytes, limitMs }: SuiteOptions): string[] {
  return [
    suite,
    ...['--addon', addonPath],
    ...['--device', String(index)],
    ...['--max-bytes', String(maxBytes)],
    ...['--case-seconds', String(limitMs / 1000)],
  ];
}
