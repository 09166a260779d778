import type { Device } from '../../../src/device/types.js';
import type { ContractTarget } from '../../../test/contract/cases.js';
import { ContractRun, contractCases } from '../../../test/contract/cases.js';
import { nativeFile } from '../../../test/support/native-file.js';
import { nodeOracle } from '../../../test/support/oracle.js';
import { CaseSkipped } from './outcome.js';
import type { SuiteCase } from './run-cases.js';
import type { DriverTestbed } from './testbed.js';

/** Stores one word to address 0, which no GPU maps. */
const FAULT = `.version 8.0
.target sm_75
.address_size 64
.visible .entry fault()
{
	.reg .b32 	%r<2>;
	.reg .b64 	%rd<2>;
	mov.u64 	%rd1, 0;
	mov.u32 	%r1, 7;
	st.global.u32 	[%rd1], %r1;
	ret;
}
`;

/** The contract suite over the driver's device; `maxBytes` is the largest region that a case may make. */
export function contractSuite(bed: DriverTestbed, maxBytes: number): readonly SuiteCase[] {
  const run = new ContractRun(contractTarget(bed, maxBytes));
  const last: SuiteCase = {
    name: 'all device memory that the cases took has come back',
    run: async () => {
      await run.close();
      const left = await bed.leftBehind();
      if (left !== null) throw new Error(left);
    },
  };
  return [...casesOf(run), last];
}

/** Every case of the contract suite, in this run. */
export function casesOf(run: ContractRun): readonly SuiteCase[] {
  return contractCases.map(
    (test): SuiteCase => ({
      name: test.name,
      run: async () => {
        const outcome = await run.run(test);
        if (outcome.status === 'skipped') throw new CaseSkipped(outcome.reason);
        if (outcome.status === 'failed') throw outcome.error;
      },
    }),
  );
}

function contractTarget(bed: DriverTestbed, maxBytes: number): ContractTarget {
  const backend = bed.backend();
  return {
    name: 'a CUDA driver',
    open: (options) => backend.open(bed.index, options),
    oracle: nodeOracle,
    maxBytes,
    nativeFile,
    openOutOfMemory: async () => {
      const device = await backend.open(bed.index);
      // The runtime's own scratch takes part of it, so the whole device is always too much.
      const { totalBytes } = await device.capacity();
      if (totalBytes === null) throw new Error('the driver does not tell how much memory there is');
      return { device, byteLength: totalBytes };
    },
    openLosable: async () => {
      bed.requireOwnProcess();
      const device = await backend.open(bed.index);
      return { device, lose: () => loseByFault(device) };
    },
  };
}

/** A kernel that faults voids the context; the runtime notices when it waits for the kernel. */
async function loseByFault(device: Device): Promise<void> {
  const region = await device.allocate(4096);
  await region.freeze();
  const binding = region.view(0, 4096);
  if (binding.kind !== 'cuda') throw new Error('not a CUDA binding');
  await binding.launch({ module: FAULT, entry: 'fault', grid: [1, 1, 1], block: [1, 1, 1], args: [] });
  const ended: unknown = await binding.end().then(
    () => null,
    (error: unknown) => error,
  );
  if (ended === null) throw new Error('a store to address 0 went through');
  await region.release().catch((error: unknown) => {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'RELEASE_FAILED') throw error;
  });
}
