import { canonicalBytes, fromBase64Url, toBase64Url, VramError } from '../base/index.js';
import { type Mac, preAuthEncoding } from '../crypto/index.js';
import type { TensorManifest } from '../models/index.js';
import { type ForeignHandle, notGenuine, readHandle } from './handle.js';
import { SEAL_PAYLOAD_TYPES, type SealPayload } from './payload.js';
import { SealedShard } from './sealed-shard.js';

const SIGNATURE_BYTES = 32;

/**
 * Signs: HMAC-SHA256 over the DSSE encoding of the canonical payload. The payload's `tensors` is the digest of
 * `manifest`.
 */
export async function signSeal(
  key: Mac,
  payload: SealPayload,
  manifest: TensorManifest | null = null,
): Promise<SealedShard> {
  const encoded = preAuthEncoding(SEAL_PAYLOAD_TYPES[payload.v], canonicalBytes(payload, 'payload'));
  return new SealedShard(payload, toBase64Url(await key.sign(encoded)), manifest);
}

/**
 * Reads a handle and checks its signature in constant time. A handle that passes was signed with this key and is
 * unchanged. Returns the seal id, by which the live shard is found.
 * Errors: INVALID_INPUT, NOT_SEALED, SEAL_VERIFICATION_FAILED.
 */
export async function verifySignature(key: Mac, handle: unknown): Promise<string> {
  const foreign = readHandle(handle);
  const signature = fromBase64Url(foreign.signature);
  if (signature === null || signature.length !== SIGNATURE_BYTES)
    throw notGenuine('its signature is malformed');
  const encoded = preAuthEncoding(SEAL_PAYLOAD_TYPES[foreign.version], payloadBytes(foreign));
  const genuine = await key.verify(encoded, signature);
  if (!genuine) throw notGenuine('its signature does not fit its content under the key of this worker');
  const sealId = foreign.payload['sealId'];
  if (typeof sealId !== 'string') throw notGenuine('"sealId" is not text');
  return sealId;
}

function payloadBytes({ payload }: ForeignHandle): Uint8Array {
  try {
    return canonicalBytes(payload, 'shard');
  } catch (error) {
    if (error instanceof VramError) throw notGenuine('it holds what no seal can hold', error);
    throw error;
  }
}
