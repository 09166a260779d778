// Device and Region: memory that is allocated, filled, frozen, hashed in place, wiped and freed. This room holds the
// backends and the code that they share. It does not depend on seals, policy or events.
export {
  type Addon,
  cudaBackend,
  type DescriptorHandle,
  exportMemory,
  type Kernels,
  NotInstalled,
} from './cuda/index.js';
export { type BlockHasher, hostBackend, type NativeSinks } from './host/index.js';
export { hostBackendOnFirstCall } from './host-on-first-call.js';
export { type SkippedDevice, selectDevice } from './select.js';
export {
  type AllocateOptions,
  type Backend,
  type BackendKind,
  type BackendOptions,
  type BackendProblem,
  type ByteRange,
  type CudaArgument,
  type CudaBinding,
  type CudaLaunch,
  type CudaScratch,
  type CutLimits,
  type Device,
  type DeviceBinding,
  type DeviceCapacity,
  type DeviceInfo,
  type DeviceLost,
  type DeviceStats,
  deviceId,
  type FaultPort,
  type HostBinding,
  type Immutability,
  type KernelExecution,
  type OpenOptions,
  type Region,
  type ResidencyFacts,
  type RootOptions,
  type SharedMemory,
  type WebGpuBinding,
} from './types.js';
export {
  type AdapterFacts,
  adoptGpuDevice,
  type GpuProvider,
  gpuDeviceOf,
  ownGpuDevice,
  webgpuBackend,
} from './webgpu/index.js';
