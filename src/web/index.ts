export { webCrypto } from './web-crypto.js';
