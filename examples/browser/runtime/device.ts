import { adoptGpuDevice, type Device } from 'vram-residency/browser';

/**
 * A software adapter takes a second for some megabytes: hashed by the megabyte, one sees it come, at no cost that can be
 * measured. A GPU is left its own windows, up to 1 GiB, which it needs to have work for all of its units.
 */
const SOFTWARE_WINDOW_BYTES = 2 ** 20;

export interface OpenedGpu {
  readonly device: Device;
  readonly gpu: GPUDevice;
  /** The adapter's own name; empty if it has none. */
  readonly name: string;
}

/** The GPU device that the engine and the sealed weights share, or why there is none. */
export async function openGpu(): Promise<OpenedGpu | string> {
  // Absent in older browsers and outside secure contexts, whatever the types say.
  const webgpu: GPU | undefined = navigator.gpu;
  if (webgpu === undefined) return 'this browser has no WebGPU, or the page is not served over https';
  const adapter = await webgpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null) return 'WebGPU found no adapter: hardware acceleration may be off';
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const gpu = await adapter.requestDevice({
    requiredLimits: { maxBufferSize, maxStorageBufferBindingSize },
    requiredFeatures: adapter.features.has('shader-f16') ? ['shader-f16'] : [],
  });
  const windowBytes = adapter.info.isFallbackAdapter ? SOFTWARE_WINDOW_BYTES : undefined;
  try {
    return {
      device: await adoptGpuDevice(gpu, adapter.info, { drills: true, windowBytes }),
      gpu,
      name: nameOf(adapter.info),
    };
  } catch (error) {
    gpu.destroy();
    throw error;
  }
}

function nameOf({ description, vendor, architecture }: GPUAdapterInfo): string {
  return description === '' ? `${vendor} ${architecture}`.trim() : description;
}
