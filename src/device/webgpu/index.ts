export type { AdapterFacts } from './adapter.js';
export type { GpuProvider } from './backend.js';
export { adoptGpuDevice, webgpuBackend } from './backend.js';
