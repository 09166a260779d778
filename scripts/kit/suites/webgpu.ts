import { nodeWebGpuBackend } from '../../../src/node/devices/webgpu.js';
import type { ContractTarget } from '../../../test/contract/cases.js';
import { nodeOracle } from '../../../test/support/oracle.js';

/** The first WebGPU adapter that Dawn finds, as a contract target. */
export function webGpuTarget(maxBytes: number): ContractTarget {
  const backend = nodeWebGpuBackend();
  return {
    name: 'a WebGPU adapter',
    open: (options) => backend.open(0, options),
    oracle: nodeOracle,
    maxBytes,
    openLosable: async () => {
      const device = await backend.open(0);
      return {
        device,
        lose: async () => {
          const region = await device.allocate(4096);
          await region.freeze();
          const binding = region.view(0, 4096);
          if (binding.kind !== 'webgpu') throw new Error('not a WebGPU binding');
          const gpu = binding.device;
          await region.release();
          gpu.destroy();
          await device.lost;
        },
      };
    },
  };
}
