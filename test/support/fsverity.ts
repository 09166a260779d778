import { fsverityDigest } from '../../src/digest/index.js';
import { hostTree, rootOf } from '../contract/host-tree.js';
import { nodeOracle } from './oracle.js';

/** The fs-verity digest by OpenSSL, block by block: of the library's code only the descriptor is used. */
export async function fsverityOf(bytes: Uint8Array): Promise<string> {
  const root = bytes.length === 0 ? new Uint8Array(32) : rootOf(await hostTree(nodeOracle, bytes));
  return await fsverityDigest(bytes.length, root, nodeOracle.sha256);
}
