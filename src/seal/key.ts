import { concatBytes, toHex, utf8 } from '../base/index.js';
import type { CryptoProvider, Mac } from '../crypto/index.js';

/** The token of a worker without one, for the life of its process. */
export const EPHEMERAL_TOKEN_BYTES = 32;
const KEY_BYTES = 32;
const SALT = 'vram-residency';
const FINGERPRINT_DIGITS = 6;

/**
 * The worker's seal key: HKDF-SHA256 (RFC 5869) with ikm = token, salt = "vram-residency", info = "seal/v1/" + workerId,
 * 256 bits. The worker id in the info separates workers that share a token; "seal/v1" separates uses of one token.
 */
export async function deriveSealKey(
  crypto: CryptoProvider,
  token: Uint8Array,
  workerId: string,
): Promise<Mac> {
  const key = await crypto.hkdf(token, utf8(SALT), utf8(`seal/v1/${workerId}`), KEY_BYTES);
  try {
    return await crypto.hmac(key);
  } finally {
    key.fill(0);
  }
}

/** Six hex digits that distinguish tokens in logs and reveal nothing: the head of SHA-256("vram-residency/fp\0" + token). */
export async function tokenFingerprint(crypto: CryptoProvider, token: Uint8Array): Promise<string> {
  const input = concatBytes(utf8('vram-residency/fp\0'), token);
  try {
    return toHex(await crypto.sha256(input)).slice(0, FINGERPRINT_DIGITS);
  } finally {
    input.fill(0);
  }
}
