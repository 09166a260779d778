import { VramError } from '../base/index.js';
import type { Signer } from '../crypto/index.js';

/**
 * A new Ed25519 key that lives as long as the page and cannot be taken out of the browser: it signs the checkpoints of an
 * audit log, or attestations. Only those who receive its public half from this page know whose key it is.
 * Errors: DEVICE_UNAVAILABLE where WebCrypto has no Ed25519, or is missing because the page is not a secure context.
 */
export async function generateSigner(): Promise<Signer> {
  const subtle: SubtleCrypto | undefined = globalThis.crypto.subtle;
  if (subtle === undefined) {
    throw new VramError('DEVICE_UNAVAILABLE', 'WebCrypto needs a secure context: serve the page over https');
  }
  const pair = await generate(subtle);
  return {
    publicKey: new Uint8Array(await subtle.exportKey('raw', pair.publicKey)),
    sign: async (bytes) =>
      new Uint8Array(await subtle.sign('Ed25519', pair.privateKey, new Uint8Array(bytes))),
  };
}

async function generate(subtle: SubtleCrypto): Promise<CryptoKeyPair> {
  try {
    const pair = await subtle.generateKey('Ed25519', false, ['sign', 'verify']);
    if ('privateKey' in pair) return pair;
  } catch (cause) {
    throw new VramError('DEVICE_UNAVAILABLE', 'this browser has no Ed25519 in WebCrypto', { cause });
  }
  throw new VramError('DEVICE_UNAVAILABLE', 'this browser gave no pair of Ed25519 keys');
}
