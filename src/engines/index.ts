export * from './onnxruntime/index.js';
