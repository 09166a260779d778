// The WebGPU backend, over Dawn in Node and over the browser in pages.
export type { AdapterFacts } from './adapter.js';
export { adoptGpuDevice, type GpuProvider, gpuDeviceOf, ownGpuDevice, webgpuBackend } from './backend.js';
