import type { Device, OpenOptions } from '../../src/device/types.js';
import { adoptGpuDevice } from '../../src/device/webgpu/backend.js';
import { overlay } from '../contract/broken.js';
import type { ContractTarget } from '../contract/cases.js';
import type { PresentBackend } from './backends.js';
import { nodeOracle } from './oracle.js';
import { prepareVulkan, testWebGpuBackend } from './vulkan.js';
import { lowerLimits, requestGpuDevice } from './vulkan-device.js';

const MIB = 1024 * 1024;

/** A GPU device of our own behind the library's: destroyed with it, since the library destroys no device that was handed in. */
async function adopted(gpu: GPUDevice, options: OpenOptions = {}): Promise<Device> {
  let device: Device;
  try {
    device = await adoptGpuDevice(gpu, gpu.adapterInfo, options);
  } catch (error) {
    gpu.destroy();
    throw error;
  }
  return overlay(device, {
    close: async () => {
      await device.close();
      gpu.destroy();
    },
  });
}

/** The driver reports out of memory for the next sealed buffer: Mesa never does so itself, the kernel ends the process instead. */
async function openOutOfMemory(): Promise<{ device: Device; byteLength: number }> {
  const gpu = await requestGpuDevice();
  let armed = false;
  let failing = false;
  const scopes: GPUErrorFilter[] = [];
  const createBuffer = gpu.createBuffer.bind(gpu);
  const pushErrorScope = gpu.pushErrorScope.bind(gpu);
  const popErrorScope = gpu.popErrorScope.bind(gpu);
  gpu.createBuffer = (descriptor) => {
    if (armed && descriptor.label === 'sealed weights') {
      armed = false;
      failing = true;
    }
    return createBuffer(descriptor);
  };
  gpu.pushErrorScope = (filter) => {
    scopes.push(filter);
    pushErrorScope(filter);
  };
  gpu.popErrorScope = async () => {
    const injected = scopes.pop() === 'out-of-memory' && failing;
    if (injected) failing = false;
    const real = await popErrorScope();
    return injected ? { message: 'out of memory, by the test' } : real;
  };
  const device = await adopted(gpu);
  armed = true;
  return { device, byteLength: 100_000 };
}

async function openLosable(): Promise<{ device: Device; lose(): Promise<void> }> {
  const gpu = await requestGpuDevice();
  const device = await adopted(gpu);
  return {
    device,
    lose: async () => {
      gpu.destroy();
      await device.lost;
    },
  };
}

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
    openOutOfMemory,
    openLosable,
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
      return await adopted(gpu, options);
    },
    oracle: nodeOracle,
    maxBytes: 4 * MIB,
  };
  return [{ name, target, missing: null }];
}
