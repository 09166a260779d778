import { VramError } from '../../base/index.js';
import { type Backend, type GpuProvider, webgpuBackend } from '../../device/index.js';
import { withoutDriverNoise } from './driver-noise.js';

/** Dawn, from the optional dependency `webgpu`; loaded on first use. */
class DawnProvider implements GpuProvider {
  readonly adviceWithoutAdapter =
    'install a Vulkan driver (on Linux a GPU vendor driver, or Mesa 25 or newer for the CPU)';
  // Dawn's instance ends with this object, and its devices with the instance: it stays referenced as long as the provider.
  #gpu: Promise<GPU> | null = null;

  gpu(): Promise<GPU> {
    this.#gpu ??= loadDawn();
    return this.#gpu;
  }
}

// One for the process: Dawn's instance must outlive every device made from it.
const provider = new DawnProvider();

/** Dawn's GPU object, always the same one. Errors: DEVICE_UNAVAILABLE without the npm package `webgpu`. */
export function dawnGpu(): Promise<GPU> {
  return provider.gpu();
}

/** WebGPU in Node. Without the npm package `webgpu`, list() is empty and problem() says how to get it. */
export function nodeWebGpuBackend(): Backend {
  return webgpuBackend(provider);
}

async function loadDawn(): Promise<GPU> {
  try {
    const { create } = await import('webgpu');
    const gpu = withoutDriverNoise(() => create([]));
    const requestAdapter = gpu.requestAdapter.bind(gpu);
    // Dawn queries its drivers before it returns.
    gpu.requestAdapter = (options) => withoutDriverNoise(() => requestAdapter(options));
    return gpu;
  } catch (cause) {
    throw new VramError(
      'DEVICE_UNAVAILABLE',
      'the optional npm package "webgpu" is not installed or has no build for this platform; npm install webgpu',
      { cause },
    );
  }
}
