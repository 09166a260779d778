// Seals: payload, key derivation, signature, and the handle that callers hold.
// Formats enter, all of them frozen. What is sealed, and when, the manager decides.
export { deriveSealKey, EPHEMERAL_TOKEN_BYTES, tokenFingerprint } from './key.js';
export type {
  SealDevice,
  SealedFile,
  SealLayout,
  SealPayload,
  SealPayloadV1,
  SealPayloadV2,
} from './payload.js';
export { SealedShard, type SealedShardJson } from './sealed-shard.js';
export { signSeal, verifySignature } from './signature.js';
