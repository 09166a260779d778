// Readers of safetensors, GGUF and ONNX over random access, and tensors packed on blocks of their own.
// A format enters with a limit on everything that a file can claim. Files are opened elsewhere.
export { ByteCursor } from './byte-cursor.js';
export { safetensorsDtype } from './dtypes.js';
export { type ExpectedDigest, type ExpectedDigests, parseExpected } from './expected.js';
export { type GgufSplit, readGguf, readGgufPart } from './gguf.js';
export type { PackedDigest } from './model-list.js';
export { type OnnxIndex, placeExternalTensors, readOnnx } from './onnx.js';
export { ONNX_TYPES } from './onnx-types.js';
export type { LeftOutTensor, TensorFile, TensorModel, TensorSourceOptions } from './packing.js';
export { LENGTH_DELIMITED, ProtobufReader } from './protobuf.js';
export { bytesAccess, type RandomAccess } from './random-access.js';
export { quoted, type Refuse, refusalOf } from './refusal.js';
export { readSafetensors } from './safetensors.js';
export { checkShardsAgainstIndex, readShardedIndex } from './safetensors-index.js';
export {
  checkTensorManifest,
  manifestBytes,
  type PackedFile,
  type PackedTensor,
  packedLength,
  paddingBytes,
  type TensorManifest,
  tensorIndexAt,
} from './tensor-manifest.js';
export { type TensorSource, type TensorStreamOptions, tensorSource } from './tensor-source.js';
export { type FoundTensor, findTensor, type TensorEntry, type TensorIndex, tensorRange } from './tensors.js';
