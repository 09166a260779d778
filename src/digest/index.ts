export { fromHex, toHex } from '../hex.ts';
export { fsverityDescriptor, fsverityDigest } from './descriptor.ts';
export { type TreeLayout, type TreeLevel, treeLayout } from './layout.ts';
export { checkDigest, FSVERITY_PREFIX, formatDigest, type ParsedDigest, parseDigest } from './strings.ts';
export * from './types.ts';
