// SHA-256 and the tree by the project's own WASM.
export { WasmEngine } from './engine.js';
export { WasmKernel } from './kernel.js';
export { WasmInstance, wasmSupported } from './module.js';
