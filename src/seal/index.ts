export { deriveSealKey, EPHEMERAL_TOKEN_BYTES, tokenFingerprint } from './key.js';
export type { SealedFile, SealLayout, SealPayload, SealPayloadV1, SealPayloadV2 } from './payload.js';
export { SealedShard, type SealedShardJson } from './sealed-shard.js';
export { signSeal, verifySignature } from './signature.js';
