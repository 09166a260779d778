// ONNX Runtime in the worker's own process, over the buffers that hold the sealed weights.
export { OnnxHost, type OnnxModel } from './onnx-host.js';
