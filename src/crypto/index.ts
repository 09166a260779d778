// What a platform's cryptography must provide, and the envelope that signatures are made over.
// Interfaces enter, and code over them alone: primitives come from WebCrypto (web/) or node:crypto (node/).
export { boundedSigner } from './bounded-signer.js';
export { preAuthEncoding } from './dsse.js';
export type { CryptoProvider, Mac, Signer } from './provider.js';
