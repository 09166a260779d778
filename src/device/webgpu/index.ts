export { type GpuProvider, webgpuBackend } from './backend.js';
