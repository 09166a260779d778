import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import type { Signer } from '../../../src/crypto/provider.js';

/** An Ed25519 signer whose seed is 32 times the same byte. */
export function testSigner(seed: number): Signer {
  const pkcs8 = Buffer.concat([
    Buffer.from('302e020100300506032b657004220420', 'hex'),
    Buffer.alloc(32, seed),
  ]);
  const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return {
    publicKey: new Uint8Array(spki.subarray(-32)),
    sign: async (bytes) => new Uint8Array(sign(null, bytes, key)),
  };
}
