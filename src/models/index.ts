export { safetensorsDtype } from './dtypes.js';
export { type ExpectedDigest, type ExpectedDigests, parseExpected } from './expected.js';
export { readGguf } from './gguf.js';
export { placeExternalTensors, readOnnx } from './onnx.js';
export { bytesAccess, type RandomAccess } from './random-access.js';
export { quoted } from './refusal.js';
export { readSafetensors } from './safetensors.js';
export { checkShardsAgainstIndex, readShardedIndex } from './safetensors-index.js';
export { type FoundTensor, findTensor, type TensorEntry, type TensorIndex, tensorRange } from './tensors.js';
