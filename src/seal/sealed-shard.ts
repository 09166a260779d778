import type { Immutability } from '../device/index.js';
import type { Residency } from '../policy/index.js';
import type { SealDevice, SealPayload } from './payload.js';

/** {@link SealedShard} as plain JSON data. */
export type SealedShardJson = SealPayload & { readonly signature: string };

/**
 * The handle of a sealed shard: a signed statement, frozen. It holds no address and no key, and may be stored and sent as JSON;
 * whoever changes a field gets SEAL_VERIFICATION_FAILED.
 */
export class SealedShard implements SealedShardJson {
  readonly v: 1;
  readonly sealId: string;
  readonly sealed: true;
  readonly shardId: string;
  readonly workerId: string;
  readonly device: SealDevice;
  readonly byteLength: number;
  readonly sha256: string | null;
  readonly fsverity: string;
  readonly sealedAt: string;
  readonly residency: Residency;
  readonly immutability: Immutability;
  readonly emulated: boolean;
  readonly modelRef: string | null;
  readonly shardIndex: number | null;
  readonly totalShards: number | null;
  /** HMAC-SHA256 over the payload, base64url without padding. */
  readonly signature: string;

  constructor(payload: SealPayload, signature: string) {
    this.v = payload.v;
    this.sealId = payload.sealId;
    this.sealed = payload.sealed;
    this.shardId = payload.shardId;
    this.workerId = payload.workerId;
    this.device = Object.freeze({ ...payload.device });
    this.byteLength = payload.byteLength;
    this.sha256 = payload.sha256;
    this.fsverity = payload.fsverity;
    this.sealedAt = payload.sealedAt;
    this.residency = payload.residency;
    this.immutability = payload.immutability;
    this.emulated = payload.emulated;
    this.modelRef = payload.modelRef;
    this.shardIndex = payload.shardIndex;
    this.totalShards = payload.totalShards;
    this.signature = signature;
    Object.freeze(this);
  }

  /** Exactly the payload's keys and the signature. */
  toJSON(): SealedShardJson {
    return { ...this };
  }
}
