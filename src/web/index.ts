export { generateSigner } from './signer.js';
export { webCrypto } from './web-crypto.js';
