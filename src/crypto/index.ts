export { boundedSigner } from './bounded-signer.js';
export { preAuthEncoding } from './dsse.js';
export type { CryptoProvider, Mac, Signer } from './provider.js';
