// A page's cryptography: WebCrypto as the provider and signer of crypto/.
export { generateSigner } from './signer.js';
export { webCrypto } from './web-crypto.js';
