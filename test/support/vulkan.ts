import type { Backend } from '../../src/device/types.js';
import { nodeWebGpuBackend } from '../../src/node/devices/webgpu.js';
import { prepareVulkan } from './vulkan.mjs';

export type { TestAdapter } from './vulkan.mjs';
export { prepareVulkan, requestedAdapter } from './vulkan.mjs';

/** The WebGPU backend over the adapter chosen for tests; null where there is none (the host backend has to serve). */
export async function testWebGpuBackend(): Promise<Backend | null> {
  const { adapter } = await prepareVulkan();
  return adapter === 'host' ? null : nodeWebGpuBackend();
}
