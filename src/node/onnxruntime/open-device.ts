import { checkOptions, type OptionKeys, VramError } from '../../base/index.js';
import { type Device, type OpenOptions, ownGpuDevice } from '../../device/index.js';
import { dawnGpu } from '../devices/index.js';

const OPEN_KEYS = { windowBytes: true, drills: true } satisfies OptionKeys<OpenOptions>;

/** Features that the engine uses if the adapter has them. */
const FEATURES = ['shader-f16', 'subgroups'] as const satisfies GPUFeatureName[];

/** Limits that the engine's kernels or large weights need raised above WebGPU's defaults. */
const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
] as const satisfies (keyof GPUSupportedLimits)[];

/**
 * Opens a GPU through Dawn as an engine wants it, for `VramManager.open({ device })` and createSession(): the fastest
 * adapter, with the features and limits that ONNX Runtime Web makes use of. Its close() ends it for the engine too.
 *
 * Errors: INVALID_INPUT, DEVICE_UNAVAILABLE.
 */
export async function openDevice(options: OpenOptions = {}): Promise<Device> {
  checkOptions('options', options, OPEN_KEYS);
  const gpu = await dawnGpu();
  const adapter =
    (await gpu.requestAdapter({ powerPreference: 'high-performance' })) ?? (await gpu.requestAdapter());
  if (adapter === null) {
    throw new VramError('DEVICE_UNAVAILABLE', 'WebGPU has no adapter here; install a Vulkan driver');
  }
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({
      requiredFeatures: FEATURES.filter((feature) => adapter.features.has(feature)),
      requiredLimits: Object.fromEntries(LIMITS.map((limit) => [limit, adapter.limits[limit]])),
    });
  } catch (cause) {
    throw new VramError('DEVICE_UNAVAILABLE', 'the WebGPU adapter could not be opened; try again', { cause });
  }
  return await ownGpuDevice(device, adapter.info, options);
}
