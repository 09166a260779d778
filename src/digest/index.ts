export { fromHex, toHex } from '../hex.js';
export { fsverityDescriptor, fsverityDigest } from './descriptor.js';
export { type TreeLayout, type TreeLevel, treeLayout } from './layout.js';
export { checkDigest, FSVERITY_PREFIX, formatDigest, type ParsedDigest, parseDigest } from './strings.js';
export * from './types.js';
