export { HashWasmEngine } from './engine.js';
