export { type ExternalTensor, type OnnxIndex, placeExternalTensors, readOnnx } from './onnx.js';
export { readGguf } from './gguf.js';
export { bytesAccess, type RandomAccess } from './random-access.js';
export { readSafetensors } from './safetensors.js';
export { checkShardsAgainstIndex, readShardedIndex, type ShardedIndex } from './safetensors-index.js';
export { findTensor, type FoundTensor, type TensorEntry, type TensorIndex, tensorRange } from './tensors.js';
export { type ExpectedDigest, type ExpectedDigests, parseExpected } from './expected.js';
