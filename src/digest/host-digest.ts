import { toHex } from '../base/index.js';
import { fsverityDigest } from './descriptor.js';
import type { TreeHashes } from './tree-accumulator.js';
import type { HostDigest } from './types.js';

/** Puts the parts of a digest into their written forms; `sha256` hashes the descriptor. */
export async function hostDigest(
  byteLength: number,
  flat: Uint8Array | null,
  tree: TreeHashes,
  sha256: (bytes: Uint8Array) => Promise<Uint8Array>,
): Promise<HostDigest> {
  return {
    byteLength,
    sha256: flat === null ? null : toHex(flat),
    fsverity: await fsverityDigest(byteLength, tree.root, sha256),
    ...tree,
  };
}
