// Engines that compute on sealed weights.
// An adapter of an engine enters with its proof that the engine reads the sealed memory.
export * from './onnxruntime/index.js';
