export { checkToken, fromBase64Url, toBase64Url } from '../base/index.js';
export { preAuthEncoding } from '../crypto/index.js';
export { deriveSealKey, EPHEMERAL_TOKEN_BYTES, tokenFingerprint } from './key.js';
export { SEAL_PAYLOAD_TYPE, type SealDevice, type SealPayload } from './payload.js';
export { SealedShard, type SealedShardJson } from './sealed-shard.js';
export { signSeal, verifySignature } from './signature.js';
