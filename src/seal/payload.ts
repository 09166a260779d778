import type { BackendKind, Immutability } from '../device/index.js';
import type { Residency } from '../policy/index.js';

/** Media types of the signed payloads, by version; authenticated, so that one version is never accepted for the other. */
export const SEAL_PAYLOAD_TYPES = {
  1: 'application/vnd.vram-residency.seal.v1+json',
  2: 'application/vnd.vram-residency.seal.v2+json',
} as const;

/** The device that a seal names. */
export interface SealDevice {
  readonly backend: BackendKind;
  readonly index: number;
  readonly name: string;
  readonly uuid: string | null;
}

/** The fields of every seal. All keys are always present; those that do not apply are null. */
interface SealFacts {
  /** 16 random bytes, hex. */
  readonly sealId: string;
  readonly sealed: true;
  readonly shardId: string;
  readonly workerId: string;
  readonly device: SealDevice;
  readonly byteLength: number;
  /** 64 hex digits: of the stream that was sealed; null if it was not computed. */
  readonly sha256: string | null;
  /** `fsverity-sha256-12:<64 hex>`: recomputed in place at every verification. */
  readonly fsverity: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly sealedAt: string;
  readonly residency: Residency;
  readonly immutability: Immutability;
  /** A test driver ran the kernels: no GPU is involved. */
  readonly emulated: boolean;
  readonly modelRef: string | null;
  /** Of a tensor-parallel set; 0 <= shardIndex < totalShards. */
  readonly shardIndex: number | null;
  readonly totalShards: number | null;
}

/** A seal of a plain sequence of bytes, in memory that no other process maps. */
export interface SealPayloadV1 extends SealFacts {
  readonly v: 1;
}

/** `bytes`: in the order of the source. `tensors`: each tensor on blocks of its own, listed in the manifest. */
export type SealLayout = 'bytes' | 'tensors';

/** One published file behind a seal of tensors. Digests are null where the host did not hash it. */
export interface SealedFile {
  /** 64 hex digits. */
  readonly sha256: string | null;
  readonly fsverity: string | null;
  readonly byteLength: number;
}

/**
 * A seal of tensors, or of memory that other processes can map. `byteLength`, `sha256` and `fsverity` are of the packed
 * sequence.
 */
export interface SealPayloadV2 extends SealFacts {
  readonly v: 2;
  readonly layout: SealLayout;
  /** SHA-256 of the manifest's canonical JSON, 64 hex digits; null where the layout is `bytes`. */
  readonly tensors: string | null;
  /** The published files, in the order of the manifest; null where the layout is `bytes`. */
  readonly source: readonly SealedFile[] | null;
  /** Other processes can map the memory, with access rights of their choice. */
  readonly shared: boolean;
}

/** What a seal signs. */
export type SealPayload = SealPayloadV1 | SealPayloadV2;

const DEVICE_KEYS = ['backend', 'index', 'name', 'uuid'] as const satisfies (keyof SealDevice)[];

const PAYLOAD_KEYS_V1 = [
  'v',
  'sealId',
  'sealed',
  'shardId',
  'workerId',
  'device',
  'byteLength',
  'sha256',
  'fsverity',
  'sealedAt',
  'residency',
  'immutability',
  'emulated',
  'modelRef',
  'shardIndex',
  'totalShards',
] as const satisfies (keyof SealPayloadV1)[];

const PAYLOAD_KEYS = {
  1: PAYLOAD_KEYS_V1,
  2: [...PAYLOAD_KEYS_V1, 'layout', 'tensors', 'source', 'shared'] satisfies (keyof SealPayloadV2)[],
} as const;

const FILE_KEYS = ['sha256', 'fsverity', 'byteLength'] as const satisfies (keyof SealedFile)[];

export { DEVICE_KEYS, FILE_KEYS, PAYLOAD_KEYS };
