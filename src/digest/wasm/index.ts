export { WasmEngine } from './engine.js';
export { wasmSupported } from './module.js';
