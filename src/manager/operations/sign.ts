import { timestamp, toHex } from '../../base/index.js';
import type { SealedPacking } from '../../events/index.js';
import { type SealedShard, type SealPayloadV1, type SealPayloadV2, signSeal } from '../../seal/index.js';
import type { Core } from '../state/index.js';
import { manifestDigest, type PackedRequest } from './packed-request.js';
import type { Proved } from './proved.js';
import type { SealRequest } from './seal-request.js';

const SEAL_ID_BYTES = 16;

/**
 * The seal of the proved bytes.
 * A plain source gets version 1, which every release has read; tensors, and memory that others can map, get version 2.
 */
export async function sign(core: Core, request: SealRequest, proved: Proved): Promise<SealedShard> {
  const payload = describe(core, request, proved);
  if (request.packed === null && !request.share) return await signSeal(core.key, payload);
  const { packed, share } = request;
  const manifest = packed?.manifest ?? null;
  const second: SealPayloadV2 = {
    ...payload,
    v: 2,
    // Processes that map the memory choose their own rights: the protection of this process's mapping does not apply to
    // them.
    immutability: share ? 'api-only' : payload.immutability,
    layout: packed === null ? 'bytes' : 'tensors',
    tensors: manifest === null ? null : await manifestDigest(core, manifest),
    source: packed === null ? null : proved.files,
    shared: share,
  };
  return await signSeal(core.key, second, manifest);
}

function describe(core: Core, request: SealRequest, proved: Proved): SealPayloadV1 {
  const { info } = core.device;
  return {
    v: 1,
    sealId: toHex(core.crypto.randomBytes(SEAL_ID_BYTES)),
    sealed: true,
    shardId: request.shardId,
    workerId: core.workerId,
    device: { backend: info.backend, index: info.index, name: info.name, uuid: info.uuid },
    byteLength: proved.byteLength,
    sha256: proved.sha256,
    fsverity: proved.fsverity,
    sealedAt: timestamp(core.clock),
    residency: core.residency,
    immutability: proved.immutability,
    emulated: info.execution === 'emulated',
    modelRef: request.modelRef,
    shardIndex: request.shardIndex,
    totalShards: request.totalShards,
  };
}

/** The layout of a seal's tensors, for events. */
export function packingOf(
  { manifest, cuts, paddingBytes }: PackedRequest,
  sealed: SealedShard,
): SealedPacking {
  return {
    manifestSha256: sealed.tensors ?? '',
    tensors: manifest.tensors.length,
    files: manifest.files.length,
    buffers: cuts.length,
    paddingBytes,
  };
}
