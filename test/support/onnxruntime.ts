import * as ort from 'onnxruntime-web/webgpu';
import { type Device, gpuDeviceOf } from '../../src/device/index.js';
import { EngineView } from '../../src/engines/onnxruntime/witness/index.js';
import { VramManager } from '../../src/index.js';
import { withGpuGlobals } from '../../src/node/onnxruntime/index.js';
import { openDevice } from '../../src/onnxruntime.js';
import { prepareVulkan } from './vulkan.js';

ort.env.logLevel = 'error';
// Threads of the engine would compete with the software adapter's for the CPUs.
ort.env.wasm.numThreads = 1;

export { ort };

export type Feeds = Readonly<Record<string, ort.Tensor>>;

export interface EngineBench {
  readonly device: Device;
  readonly manager: VramManager;
  close(): Promise<void>;
}

/** A device that an engine can share, and a manager on it, over the adapter chosen for tests. */
export async function engineBench(): Promise<EngineBench> {
  await prepareVulkan();
  const device = await openDevice({ drills: true });
  const manager = await VramManager.open({
    device,
    drills: true,
    policy: 'any',
    workerId: 'engine',
    keep: 'leaves',
  });
  return {
    device,
    manager,
    close: async () => {
      await manager.close();
      await device.close();
    },
  };
}

/** Outputs of the plain model on the CPU, by the engine's own CPU kernels: what the sealed one is compared with. */
export async function onCpu(model: Uint8Array, feeds: Feeds): Promise<Readonly<Record<string, ort.Tensor>>> {
  // As createSession() compiles the engine's WebAssembly, when it comes first: without the optimising compiler.
  const session = await withGpuGlobals(() =>
    ort.InferenceSession.create(model, { executionProviders: ['wasm'] }),
  );
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

const views = new WeakMap<Device, EngineView>();

/**
 * A session of the plain model on the same GPU. `optimised` is the engine as it comes: it folds constants into each other,
 * such as a normalisation into the weights of a convolution, which it cannot do to weights that it does not hold.
 */
export async function plainGpuSession(
  model: Uint8Array,
  device: Device,
  { optimised }: { readonly optimised: boolean },
): Promise<ort.InferenceSession> {
  const gpu = gpuDeviceOf(device);
  if (gpu === null) throw new Error('no GPU device');
  // In Node the engine runs on no device without: Dawn refuses uploads from shared memory, which a view copies.
  const view = views.get(device) ?? new EngineView(gpu);
  views.set(device, view);
  const provider = { name: 'webgpu' as const, device: view.device, preferredLayout: 'NCHW' as const };
  return await withGpuGlobals(() =>
    ort.InferenceSession.create(model, {
      executionProviders: [provider],
      graphOptimizationLevel: optimised ? 'all' : 'disabled',
      logSeverityLevel: 3,
    }),
  );
}

/** Outputs of the plain model on the same GPU. */
export async function onPlainGpu(
  model: Uint8Array,
  feeds: Feeds,
  device: Device,
  options: { readonly optimised: boolean },
): Promise<Readonly<Record<string, ort.Tensor>>> {
  const session = await plainGpuSession(model, device, options);
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

/** Numbers without a pattern that a permutation could hide, from -1 to 1. */
export function floats(shape: readonly number[], phase = 0): ort.Tensor {
  const length = shape.reduce((elements, size) => elements * size, 1);
  const data = Float32Array.from({ length }, (_, i) => Math.sin(i * 0.37 + phase) * Math.cos(i * 0.011));
  return new ort.Tensor('float32', data, shape);
}

export function values(tensor: ort.Tensor | undefined): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) throw new Error('no float tensor');
  return tensor.data;
}

/** Along the last axis of length `row`: where the largest value of each row is. */
export function largestOfRows(data: Float32Array, row: number): number[] {
  return Array.from({ length: data.length / row }, (_, at) => {
    const part = data.subarray(at * row, (at + 1) * row);
    return part.indexOf(part.reduce((largest, value) => Math.max(largest, value), Number.NEGATIVE_INFINITY));
  });
}

/** max|a - b| / max|b| */
export function relativeError(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let largest = 0;
  for (const [index, value] of expected.entries()) {
    difference = Math.max(difference, Math.abs((actual[index] ?? Number.NaN) - value));
    largest = Math.max(largest, Math.abs(value));
  }
  return difference / largest;
}
