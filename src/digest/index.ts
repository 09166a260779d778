export { fromHex, toHex } from '../base/index.js';
export { fsverityDescriptor, fsverityDigest } from './descriptor.js';
export { HashWasmEngine } from './hash-wasm/index.js';
export { type TreeLayout, type TreeLevel, treeLayout } from './layout.js';
export { createPortableEngine } from './portable-engine.js';
export { checkDigest, FSVERITY_PREFIX, formatDigest, type ParsedDigest, parseDigest } from './strings.js';
export { type BlockHasher, TreeAccumulator, type TreeHashes } from './tree-accumulator.js';
export * from './types.js';
export { WasmEngine } from './wasm/engine.js';
