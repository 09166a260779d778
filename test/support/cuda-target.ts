import type { Backend } from '../../src/device/types.js';
import type { ContractTarget } from '../contract/cases.js';
import type { PresentBackend } from './backends.js';
import type { Emulator } from './cuda.js';
import { cudaTestbed } from './cuda.js';
import { nativeFile } from './native-file.js';
import { nodeOracle } from './oracle.js';

const MIB = 1024 * 1024;
const OUT_OF_MEMORY = 2;
/** Devices of the test driver: one that cases share, one without virtual memory management, one to be lost. */
const DEVICES = [{}, { vmm: false }, {}];
const PLAIN = 1;
const LOSABLE = 2;

/** The CUDA backend over the test driver as contract targets: with and without virtual memory management. */
export async function cudaTargets(): Promise<readonly PresentBackend[]> {
  const name = 'cuda (emulated driver)';
  const bed = await cudaTestbed();
  if (bed.missing !== null) return [{ name, target: null, missing: bed.missing }];
  const { emulator } = bed;
  emulator.reset({ devices: DEVICES });
  const backend = bed.backend();
  return [
    present({
      ...target(name, backend, 0, emulator, 'cuMemCreate'),
      openLosable: async () => {
        const device = await backend.open(LOSABLE);
        return {
          device,
          lose: async () => {
            emulator.loseDevice(LOSABLE);
            // The driver calls nobody: a loss shows at the next call.
            await device.capacity().catch(() => undefined);
          },
        };
      },
    }),
    present(
      target('cuda without virtual memory (emulated driver)', backend, PLAIN, emulator, 'cuMemAlloc_v2'),
    ),
  ];
}

function present(contract: ContractTarget): PresentBackend {
  return { name: contract.name, target: contract, missing: null };
}

function target(
  name: string,
  backend: Backend,
  index: number,
  emulator: Emulator,
  allocator: string,
): ContractTarget {
  return {
    name,
    open: (options) => backend.open(index, options),
    oracle: nodeOracle,
    maxBytes: 4 * MIB,
    nativeFile,
    freed: () => ({ allocations: emulator.freed(), unwiped: emulator.freedUnwiped() }),
    openOutOfMemory: async () => {
      const device = await backend.open(index);
      emulator.failCall(allocator, 1, OUT_OF_MEMORY);
      return { device, byteLength: 100_000 };
    },
  };
}
