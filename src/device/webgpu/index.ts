export type { AdapterFacts } from './adapter.js';
export { adoptGpuDevice, type GpuProvider, gpuDeviceOf, ownGpuDevice, webgpuBackend } from './backend.js';
