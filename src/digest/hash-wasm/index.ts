// SHA-256 by the package hash-wasm, where there is no SIMD.
export { flatHash, HashWasmEngine } from './engine.js';
