export type { AdapterFacts } from './adapter.js';
export { adoptGpuDevice, webgpuBackend } from './backend.js';
export type { GpuProvider } from './backend.js';
