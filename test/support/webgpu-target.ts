import type { PresentBackend } from './backends.js';
import { nodeOracle } from './oracle.js';
import { prepareVulkan, testWebGpuBackend } from './vulkan.js';

const MIB = 1024 * 1024;

/** WebGPU over the adapter chosen for tests. */
export async function webGpuTargets(): Promise<readonly PresentBackend[]> {
  const { adapter, description } = await prepareVulkan();
  const backend = await testWebGpuBackend();
  if (backend === null) return [{ name: 'webgpu', target: null, missing: description }];
  const name = `webgpu on ${adapter}`;
  return [
    {
      name,
      missing: null,
      target: {
        name,
        open: (options) => backend.open(0, options),
        oracle: nodeOracle,
        maxBytes: adapter === 'swiftshader' ? 4 * MIB : 24 * MIB,
      },
    },
  ];
}
