import type { BackendKind, Immutability } from '../device/index.js';
import type { Residency } from '../policy/index.js';

/** Media type of the signed payload; part of what is authenticated. */
export const SEAL_PAYLOAD_TYPE = 'application/vnd.vram-residency.seal.v1+json';

export interface SealDevice {
  readonly backend: BackendKind;
  readonly index: number;
  readonly name: string;
  readonly uuid: string | null;
}

/** What a seal says. Every key is always there; what does not apply is null. */
export interface SealPayload {
  readonly v: 1;
  /** 16 random bytes, hex. */
  readonly sealId: string;
  readonly sealed: true;
  readonly shardId: string;
  readonly workerId: string;
  readonly device: SealDevice;
  readonly byteLength: number;
  /** 64 hex digits: of the stream that was sealed; null if it was left out. */
  readonly sha256: string | null;
  /** `fsverity-sha256-12:<64 hex>`: what is proved again in place. */
  readonly fsverity: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly sealedAt: string;
  readonly residency: Residency;
  readonly immutability: Immutability;
  /** A test driver ran the kernels: nothing is in a GPU. */
  readonly emulated: boolean;
  readonly modelRef: string | null;
  /** Of a tensor-parallel set; 0 <= shardIndex < totalShards. */
  readonly shardIndex: number | null;
  readonly totalShards: number | null;
}

const DEVICE_KEYS = ['backend', 'index', 'name', 'uuid'] as const satisfies (keyof SealDevice)[];

const PAYLOAD_KEYS = [
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
] as const satisfies (keyof SealPayload)[];

export { DEVICE_KEYS, PAYLOAD_KEYS };
