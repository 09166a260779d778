import { createHash } from 'node:crypto';

const BLOCK = 4096;

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** What sha256sum prints. */
export function sha256Of(bytes: Uint8Array): string {
  return sha256(bytes).toString('hex');
}

/**
 * What `fsverity digest` prints for data with content, straight from the kernel's documentation: SHA-256, blocks of 4096
 * bytes, no salt.
 */
export function fsverityOf(bytes: Uint8Array): string {
  let level: Uint8Array = bytes;
  do {
    const hashes: Buffer[] = [];
    for (let at = 0; at < level.length; at += BLOCK) {
      const block = Buffer.alloc(BLOCK);
      block.set(level.subarray(at, at + BLOCK));
      hashes.push(sha256(block));
    }
    level = Buffer.concat(hashes);
  } while (level.length > 32);
  const descriptor = Buffer.alloc(256);
  descriptor.set([1, 1, 12]);
  descriptor.writeBigUInt64LE(BigInt(bytes.length), 8);
  descriptor.set(level, 16);
  return `fsverity-sha256-12:${sha256(descriptor).toString('hex')}`;
}
