export { deriveSealKey, EPHEMERAL_TOKEN_BYTES, tokenFingerprint } from './key.js';
export type { SealPayload } from './payload.js';
export { SealedShard, type SealedShardJson } from './sealed-shard.js';
export { signSeal, verifySignature } from './signature.js';
