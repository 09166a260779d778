import { adoptGpuDevice } from '../../src/device/webgpu/backend.js';
import type { ContractTarget } from '../contract/cases.js';
import type { PresentBackend } from './backends.js';
import { nodeOracle } from './oracle.js';
import { prepareVulkan, testWebGpuBackend } from './vulkan.js';
import { lowerLimits, requestGpuDevice } from './vulkan-device.js';
import { adopted, type GpuSource, webGpuFaults } from './webgpu-faults.js';

const MIB = 1024 * 1024;

const source: GpuSource = {
  request: requestGpuDevice,
  adopt: (gpu, options) => adoptGpuDevice(gpu, gpu.adapterInfo, options),
};

/** WebGPU over the adapter chosen for tests. */
export async function webGpuTargets(): Promise<readonly PresentBackend[]> {
  const { adapter, description } = await prepareVulkan();
  const backend = await testWebGpuBackend();
  if (backend === null) return [{ name: 'webgpu', target: null, missing: description }];
  const name = `webgpu on ${adapter}`;
  const target: ContractTarget = {
    name,
    open: (options) => backend.open(0, options),
    oracle: nodeOracle,
    maxBytes: adapter === 'swiftshader' ? 4 * MIB : 80 * MIB,
    ...webGpuFaults(source),
  };
  return [{ name, target, missing: null }];
}

/** The same in segments so small that most ranges straddle some. */
export async function segmentedWebGpuTargets(): Promise<readonly PresentBackend[]> {
  const { adapter, description } = await prepareVulkan();
  const name = `webgpu on ${adapter} in segments of 512 KiB`;
  if (adapter === 'host') return [{ name, target: null, missing: description }];
  const target: ContractTarget = {
    name,
    open: async (options) => {
      const gpu = await requestGpuDevice();
      lowerLimits(gpu, { maxBufferSize: MIB / 2 });
      return await adopted(source, gpu, options);
    },
    oracle: nodeOracle,
    maxBytes: 4 * MIB,
  };
  return [{ name, target, missing: null }];
}
