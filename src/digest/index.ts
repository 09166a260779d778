// SHA-256, the fs-verity tree and its digests, and the engines that hash on the host.
// Engines of JavaScript and WASM enter; what needs threads or the addon stands in node/digest.
export { AnnouncedLength } from './announced-length.js';
export { hashPadded } from './block-hashes.js';
export { fsverityDigest } from './descriptor.js';
export { createFlatHash } from './flat-hash.js';
export { hostDigest } from './host-digest.js';
export { type TreeLayout, treeLayout } from './layout.js';
export { createPortableEngine } from './portable-engine.js';
export { checkHashes, checkRequest } from './requests.js';
export { type FlatHash, type SerialHashes, SerialStream } from './serial-stream.js';
export { checkDigest, FSVERITY_PREFIX, formatDigest } from './strings.js';
export { type BlockHasher, TreeAccumulator } from './tree-accumulator.js';
export {
  BLOCK_BYTES,
  type DigestEngine,
  type DigestRequest,
  type DigestStream,
  type EngineName,
  FILE_WINDOW_BYTES,
  type FillNatively,
  GROUP_BYTES,
  HASH_BYTES,
  HASHES_PER_BLOCK,
  type HashFileOptions,
  type HostDigest,
  type NativeSink,
  type ReadFileOptions,
  type ReadNatively,
} from './types.js';
export { WasmEngine, WasmInstance } from './wasm/index.js';
