export type { AdapterFacts } from './adapter.js';
export { adoptGpuDevice, type GpuProvider, webgpuBackend } from './backend.js';
