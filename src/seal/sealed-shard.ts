import type { Immutability } from '../device/index.js';
import type { TensorManifest } from '../models/index.js';
import type { Residency } from '../policy/index.js';
import type { SealDevice, SealedFile, SealLayout, SealPayload } from './payload.js';

/** {@link SealedShard} as plain JSON data. */
export type SealedShardJson = SealPayload & { readonly signature: string };

/**
 * The handle of a sealed shard: a signed statement, frozen. It holds no address and no key, and may be stored and sent as
 * JSON; a changed field makes verification fail with SEAL_VERIFICATION_FAILED.
 */
export class SealedShard {
  readonly v: SealPayload['v'];
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
  /** Only in version 2, like the next three. Declared, not defined: a handle of version 1 must not have the keys. */
  declare readonly layout?: SealLayout;
  /** SHA-256 of the manifest, 64 hex digits. */
  declare readonly tensors?: string | null;
  /** The published files that the tensors were packed from. */
  declare readonly source?: readonly SealedFile[] | null;
  declare readonly shared?: boolean;
  /** HMAC-SHA256 over the payload, base64url without padding. */
  readonly signature: string;
  readonly #manifest: TensorManifest | null;

  constructor(payload: SealPayload, signature: string, manifest: TensorManifest | null = null) {
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
    if (payload.v === 2) {
      this.layout = payload.layout;
      this.tensors = payload.tensors;
      this.source =
        payload.source === null
          ? null
          : Object.freeze(payload.source.map((file) => Object.freeze({ ...file })));
      this.shared = payload.shared;
    }
    this.signature = signature;
    this.#manifest = manifest;
    Object.freeze(this);
  }

  /**
   * Where each tensor lies, of a shard that was sealed here from a tensor source; else null. It is not part of the JSON:
   * `tensors` is its digest.
   */
  get manifest(): TensorManifest | null {
    return this.#manifest;
  }

  /** Exactly the payload's keys and the signature. */
  toJSON(): SealedShardJson {
    // The compiler does not see that the keys of version 2 come and go with `v`.
    return { ...this } as SealedShardJson;
  }
}
