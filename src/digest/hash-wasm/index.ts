export { flatHash, HashWasmEngine } from './engine.js';
