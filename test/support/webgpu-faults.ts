import type { Device, OpenOptions } from '../../src/device/types.js';
import { overlay } from '../contract/broken.js';
import type { ContractTarget } from '../contract/cases.js';

/** How a GPU device of one's own is had, and put behind the library's. */
export interface GpuSource {
  request(): Promise<GPUDevice>;
  adopt(gpu: GPUDevice, options: OpenOptions): Promise<Device>;
}

/**
 * A GPU device of our own behind the library's: destroyed with it, since the library destroys no device that was handed in.
 */
export async function adopted(
  { adopt }: Pick<GpuSource, 'adopt'>,
  gpu: GPUDevice,
  options: OpenOptions = {},
): Promise<Device> {
  let device: Device;
  try {
    device = await adopt(gpu, options);
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

/** Devices that run out of memory and that are lost, in Node and in pages. */
export function webGpuFaults(
  source: GpuSource,
): Required<Pick<ContractTarget, 'openOutOfMemory' | 'openLosable'>> {
  return {
    openOutOfMemory: () => openOutOfMemory(source),
    openLosable: async () => {
      const gpu = await source.request();
      const device = await adopted(source, gpu);
      return {
        device,
        lose: async () => {
          gpu.destroy();
          await device.lost;
        },
      };
    },
  };
}

/**
 * The driver reports out of memory for the next sealed buffer: Mesa never does so itself, the kernel ends the process
 * instead.
 */
async function openOutOfMemory(source: GpuSource): Promise<{ device: Device; byteLength: number }> {
  const gpu = await source.request();
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
  const device = await adopted(source, gpu);
  armed = true;
  return { device, byteLength: 100_000 };
}
