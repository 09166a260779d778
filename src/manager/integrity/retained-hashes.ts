import { VramError } from '../../base/index.js';
import {
  BLOCK_BYTES,
  type DigestEngine,
  fsverityDigest,
  GROUP_BYTES,
  HASH_BYTES,
} from '../../digest/index.js';
import type { Core, LiveShard, RetainedHashes } from '../state/index.js';

export const BLOCKS_PER_GROUP = GROUP_BYTES / BLOCK_BYTES;

/**
 * Hashes the retained group nodes up to the signed digest: they lie in ordinary host memory, and this makes every
 * decision based on them rest on the seal.
 * Errors: INTEGRITY_VIOLATION if they are not what was sealed.
 */
export async function requireGroupsGenuine(core: Core, live: LiveShard): Promise<void> {
  if (!(await leadTo(core, live.retained, live.sealed))) throw retainedHashesDamaged();
}

/** Whether group nodes, hashed up to the root, give the digest of a shard. */
export async function leadTo(
  core: Core,
  { groups }: Pick<RetainedHashes, 'groups'>,
  { byteLength, fsverity }: { readonly byteLength: number; readonly fsverity: string },
): Promise<boolean> {
  const root = await rootOver(core.engine, groups);
  return (await fsverityDigest(byteLength, root, (bytes) => core.crypto.sha256(bytes))) === fsverity;
}

/** INTEGRITY_VIOLATION of the reference hashes, not of the resident bytes. */
export function retainedHashesDamaged(): VramError {
  return new VramError(
    'INTEGRITY_VIOLATION',
    'the hashes retained in host memory are damaged: they no longer lead to the signed digest; ' +
      'release the shard and seal it again',
  );
}

async function rootOver(engine: DigestEngine, groups: Uint8Array): Promise<Uint8Array> {
  let hashes = groups;
  while (hashes.length > HASH_BYTES) hashes = await engine.nodes(hashes);
  return hashes;
}

/** The `index`th of packed 32-byte hashes. */
export function hashAt(hashes: Uint8Array, index: number): Uint8Array {
  return hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES);
}
