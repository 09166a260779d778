import { isVramError, type VramError } from '../../../src/base/errors.js';
import type { Mac } from '../../../src/crypto/provider.js';
import { type SealPayload, verifySignature } from '../../../src/seal/index.js';

export const PAYLOAD: SealPayload = {
  v: 1,
  sealId: '00112233445566778899aabbccddeeff',
  sealed: true,
  shardId: 'shard-1',
  workerId: 'worker-1',
  device: { backend: 'host', index: 0, name: 'host', uuid: null },
  byteLength: 4097,
  sha256: null,
  fsverity: `fsverity-sha256-12:${'ab'.repeat(32)}`,
  sealedAt: '2026-01-02T03:04:05.678Z',
  residency: 'host',
  immutability: 'api-only',
  emulated: false,
  modelRef: null,
  shardIndex: null,
  totalShards: null,
};

/** A key that takes every signature for its own: what is refused with it is refused for its form alone. */
export const CREDULOUS: Mac = { sign: async () => new Uint8Array(32), verify: async () => true };

export const SIGNATURE = 'A'.repeat(43);

export async function refusal(handle: unknown, key: Mac = CREDULOUS): Promise<VramError> {
  try {
    await verifySignature(key, handle);
  } catch (error) {
    if (isVramError(error)) return error;
    throw error;
  }
  throw new Error('accepted');
}

export const NOT_GENUINE = 'the handle is not genuine: ';
