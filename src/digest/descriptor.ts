import { checkInteger, invalidInput, toHex } from '../base/index.js';
import { FSVERITY_PREFIX } from './strings.js';
import { BLOCK_BYTES, HASH_BYTES } from './types.js';

const DESCRIPTOR_BYTES = 256;
const VERSION = 1;
const HASH_ALGORITHM_SHA256 = 1;
const LOG2_BLOCK_BYTES = Math.log2(BLOCK_BYTES);
const DATA_SIZE_OFFSET = 8;
const ROOT_OFFSET = 16;

/**
 * `struct fsverity_descriptor` of the kernel documentation for SHA-256, 4096-byte blocks and no salt: 256 bytes, little
 * endian.
 * `root` is 32 bytes, all zero for empty data. Errors: INVALID_INPUT.
 */
export function fsverityDescriptor(byteLength: number, root: Uint8Array): Uint8Array<ArrayBuffer> {
  checkInteger('byteLength', byteLength, 0);
  if (root.length !== HASH_BYTES) {
    throw invalidInput('root', `must be ${HASH_BYTES} bytes, got ${root.length}`);
  }
  const descriptor = new Uint8Array(DESCRIPTOR_BYTES);
  descriptor.set([VERSION, HASH_ALGORITHM_SHA256, LOG2_BLOCK_BYTES]);
  new DataView(descriptor.buffer).setBigUint64(DATA_SIZE_OFFSET, BigInt(byteLength), true);
  descriptor.set(root, ROOT_OFFSET);
  return descriptor;
}

/** The fs-verity file digest, `fsverity-sha256-12:<64 hex>`: `sha256` of the descriptor. Errors: INVALID_INPUT. */
export async function fsverityDigest(
  byteLength: number,
  root: Uint8Array,
  sha256: (bytes: Uint8Array) => Promise<Uint8Array>,
): Promise<string> {
  return FSVERITY_PREFIX + toHex(await sha256(fsverityDescriptor(byteLength, root)));
}
