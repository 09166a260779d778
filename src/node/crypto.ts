import {
  createHmac,
  createPublicKey,
  createSecretKey,
  hash,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
  verify,
} from 'node:crypto';
import { checkInteger } from '../base/index.js';
import type { CryptoProvider, Mac } from '../crypto/index.js';

const SHA256_BYTES = 32;
const ED25519_KEY_BYTES = 32;
const ED25519_SIGNATURE_BYTES = 64;
/** RFC 8410: the bytes before the 32 key bytes of a SubjectPublicKeyInfo. */
const ED25519_SPKI_PREFIX = Uint8Array.of(
  0x30,
  0x2a,
  0x30,
  0x05,
  0x06,
  0x03,
  0x2b,
  0x65,
  0x70,
  0x03,
  0x21,
  0x00,
);

/**
 * The primitives of node:crypto. A KeyObject keeps key bytes out of logs and inspection; it is not a boundary inside a
 * process.
 */
export const nodeCrypto: CryptoProvider = {
  randomBytes(length) {
    return new Uint8Array(randomBytes(checkInteger('length', length, 0, 2 ** 31 - 1)));
  },

  // One call instead of three; and a string of 32 characters costs half as much as a Buffer, whose memory lies outside
  // the heap.
  async sha256(bytes) {
    const binary = hash('sha256', bytes, 'binary');
    const digest = new Uint8Array(SHA256_BYTES);
    for (let i = 0; i < SHA256_BYTES; i++) digest[i] = binary.charCodeAt(i);
    return digest;
  },

  async hkdf(ikm, salt, info, length) {
    return new Uint8Array(
      hkdfSync('sha256', ikm, salt, info, checkInteger('length', length, 1, 255 * SHA256_BYTES)),
    );
  },

  async hmac(key): Promise<Mac> {
    const handle = createSecretKey(key);
    const sign = (bytes: Uint8Array): Uint8Array =>
      new Uint8Array(createHmac('sha256', handle).update(bytes).digest());
    return {
      sign: async (bytes) => sign(bytes),
      verify: async (bytes, mac) => mac.length === SHA256_BYTES && timingSafeEqual(sign(bytes), mac),
    };
  },

  async verifyEd25519(publicKey, bytes, signature) {
    if (publicKey.length !== ED25519_KEY_BYTES || signature.length !== ED25519_SIGNATURE_BYTES) return false;
    const spki = Buffer.concat([ED25519_SPKI_PREFIX, publicKey]);
    try {
      return verify(null, bytes, createPublicKey({ key: spki, format: 'der', type: 'spki' }), signature);
    } catch {
      // The parser refuses bytes that are not a point on the curve: the signature is invalid.
      return false;
    }
  },
};
