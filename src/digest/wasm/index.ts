export { WasmEngine } from './engine.js';
export { WasmInstance, wasmSupported } from './module.js';
