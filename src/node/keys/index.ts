// Private keys in files that their owner alone may read.
export {
  type AttestationKeyOptions,
  openAttestationKey,
  publicKeyPem,
  readPublicKeyPem,
} from './attestation-key.js';
export { defaultKeyFile, defaultKeyFileIfAny, openKeyFile, readPublicKey } from './key-file.js';
