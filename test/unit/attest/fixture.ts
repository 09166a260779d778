import { createPublicKey } from 'node:crypto';
import { bundleFromJSON } from '@sigstore/bundle';
import { toSignedEntity, Verifier } from '@sigstore/verify';
import { verifyAttestation } from '../../../src/attest/index.js';
import { nodeCrypto } from '../../../src/node/crypto.js';
import { publicKeyPem } from '../../../src/node/keys/attestation-key.js';
import { testSigner } from '../audit/signer.js';

export const signer = testSigner(7);

export const { publicKey } = signer;

export const NONCE = new Uint8Array(32).fill(0x11);

/**
 * The payload of an envelope by sigstore's verifier, which shares no code with this project; throws unless the signature is
 * by the key.
 */
export function independently(text: string, key: Uint8Array = publicKey): string {
  const bundle = bundleFromJSON({
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: { publicKey: { hint: 'ours' }, tlogEntries: [] },
    dsseEnvelope: JSON.parse(text),
  });
  const trust = {
    certificateAuthorities: [],
    timestampAuthorities: [],
    tlogs: [],
    ctlogs: [],
    publicKey: () => ({ publicKey: createPublicKey(publicKeyPem(key)), validFor: () => true }),
  };
  new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 }).verify(
    toSignedEntity(bundle),
  );
  if (bundle.content.$case !== 'dsseEnvelope') throw new Error('no envelope');
  return Buffer.from(bundle.content.dsseEnvelope.payload).toString('utf8');
}

export const check = (text: string, over: Partial<Parameters<typeof verifyAttestation>[2]> = {}) =>
  verifyAttestation(nodeCrypto, text, { publicKey, nonce: NONCE, ...over });
