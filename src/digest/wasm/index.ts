export { WasmEngine } from './engine.js';
export { WasmKernel } from './kernel.js';
export { WasmInstance, wasmSupported } from './module.js';
