import { checkInteger, VramError } from '../base/index.js';
import type { CryptoProvider, Mac } from '../crypto/index.js';

const SHA256_BYTES = 32;
const ED25519_KEY_BYTES = 32;
const ED25519_SIGNATURE_BYTES = 64;
/** Limit of one getRandomValues call. */
const MAX_RANDOM_BYTES = 65_536;

/** The primitives of WebCrypto, for pages and workers. */
export const webCrypto: CryptoProvider = {
  randomBytes(length) {
    checkInteger('length', length, 0);
    const bytes = new Uint8Array(length);
    for (let offset = 0; offset < length; offset += MAX_RANDOM_BYTES) {
      globalThis.crypto.getRandomValues(bytes.subarray(offset, offset + MAX_RANDOM_BYTES));
    }
    return bytes;
  },

  async sha256(bytes) {
    return new Uint8Array(await subtle().digest('SHA-256', unshared(bytes)));
  },

  async hkdf(ikm, salt, info, length) {
    checkInteger('length', length, 1, 255 * SHA256_BYTES);
    const material = unshared(ikm);
    const key = await importRaw(material, 'HKDF', ['deriveBits']);
    const parameters = { name: 'HKDF', hash: 'SHA-256', salt: unshared(salt), info: unshared(info) };
    return new Uint8Array(await subtle().deriveBits(parameters, key, length * 8));
  },

  async hmac(key): Promise<Mac> {
    const handle = await importRaw(unshared(key), { name: 'HMAC', hash: 'SHA-256' }, ['sign', 'verify']);
    return {
      async sign(bytes) {
        return new Uint8Array(await subtle().sign('HMAC', handle, unshared(bytes)));
      },
      verify(bytes, mac) {
        return subtle().verify('HMAC', handle, unshared(mac), unshared(bytes));
      },
    };
  },

  async verifyEd25519(publicKey, bytes, signature) {
    if (publicKey.length !== ED25519_KEY_BYTES || signature.length !== ED25519_SIGNATURE_BYTES) return false;
    try {
      const key = await subtle().importKey('raw', unshared(publicKey), 'Ed25519', false, ['verify']);
      return await subtle().verify('Ed25519', key, unshared(signature), unshared(bytes));
    } catch (error) {
      if (error instanceof DOMException && error.name === 'NotSupportedError') {
        throw new VramError('DEVICE_UNAVAILABLE', 'this platform has no Ed25519 in WebCrypto', {
          cause: error,
        });
      }
      // Bytes that are not a point on the curve are refused at import: not a valid signature.
      return false;
    }
  },
};

function subtle(): SubtleCrypto {
  // Missing outside secure contexts, despite the types.
  const available: SubtleCrypto | undefined = globalThis.crypto.subtle;
  if (available === undefined) {
    throw new VramError('DEVICE_UNAVAILABLE', 'WebCrypto needs a secure context: serve the page over https');
  }
  return available;
}

/** Imports key bytes as a handle that cannot be exported, and zeroes the copy it was given. */
async function importRaw(
  material: Uint8Array<ArrayBuffer>,
  algorithm: AlgorithmIdentifier | HmacImportParams,
  usages: KeyUsage[],
): Promise<CryptoKey> {
  try {
    return await subtle().importKey('raw', material, algorithm, false, usages);
  } finally {
    material.fill(0);
  }
}

/** WebCrypto does not accept views of shared memory. */
function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}
