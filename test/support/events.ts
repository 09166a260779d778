import type {
  EventContext,
  EventError,
  EventOf,
  EventPayloads,
  EventType,
  OperationEvent,
} from '../../src/events/events.js';

export const SAMPLE_ERROR: EventError = {
  code: 'DEVICE_UNAVAILABLE',
  kind: 'retriable',
  scope: null,
  message: 'the run did not happen',
};

const CONTEXT: EventContext = {
  at: '2026-01-02T03:04:05.678Z',
  monotonicMs: 1000,
  workerId: 'worker-1',
  correlationId: 'req-42',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  operation: 'seal',
  operationId: 'op-1',
  device: { id: 'cuda:0', name: 'Test GPU', uuid: null, residency: 'device-local', emulated: false },
  shardId: 'shard-1',
  modelRef: 'model-1',
  durationMs: 12.5,
};

/** When each event happens. */
export const EVENT_MEANINGS: { readonly [T in EventType]: string } = {
  'operation.started': 'an operation begins',
  'operation.stage': 'a timed part of an operation succeeded',
  'operation.finished': 'an operation succeeded or failed',
  'manager.opened': 'a manager is open',
  'device.opened': 'the device is open, has passed its known-answer tests and is accepted by the policy',
  'device.open_failed':
    'the requested device could not be opened, or `auto` passed over a device that could not be opened or whose driver ' +
    'does not load',
  'device.lost': 'the device was lost, and every seal on it is void',
  'vram.allocated': 'device memory was allocated for a shard',
  'vram.allocation_failed': 'device memory could not be allocated',
  'vram.deallocated': 'device memory was freed; `wiped` says whether it was overwritten first',
  'digest.computed':
    'the digest of a shard is known: on the host while it streamed in, in place on the device after freezing',
  'signature.generated': 'a seal was signed',
  'vram.sealed': 'a shard is sealed',
  'seal.verified':
    'the resident bytes match their seal; with mode `sampled` only a sample does, which does not verify the shard',
  'seal.verification_failed':
    'a handle was refused, bytes were found damaged, or two checks disagreed (`transient`)',
  'policy.violation': 'the policy refused a device',
  'validation.failed': 'an input was refused',
  'capacity.queried': 'capacity was queried',
  'shard.quarantined': 'a damaged shard may no longer be executed on; its leases are revoked',
  'damage.located':
    'follows `shard.quarantined`: where the damage is, as far as it was located, or why it was not (`error`)',
  'shard.healed': 'damaged blocks were repaired and the whole shard verified again',
  'heal.failed': 'healing failed; the quarantine stays',
  'execution.finished': 'work on a lease ended',
  'scrub.finished': 'the background check of one shard ended',
  'drill.injected': 'a bit is about to be flipped on purpose',
  'shard.attested': 'a residency statement is about to be signed',
  'shard.lent': 'the memory of a shard is about to be handed to another process',
  'lease.revoked': 'a lease of another process was revoked',
  'lease.ended': 'a lease of another process ended, or its connection was closed',
  'guard.claimed':
    'a guard in another process registered or reported a result, which this worker has not verified',
  'close.failed':
    'a source, the device or the engine could not be closed, or not in time; this changes no outcome',
  'manager.stopped': 'the manager stopped sealing and executing',
  'manager.closed': 'the manager is closed',
};

const SAMPLE_LEASE = { leaseId: 'b'.repeat(32), pid: 4242, uid: 1000, client: 'engine' };

/** One valid payload of every event type. */
export const SAMPLE_PAYLOADS: { readonly [T in EventType]: EventPayloads[T] } = {
  'operation.started': {},
  'operation.finished': { ok: false, error: SAMPLE_ERROR },
  'operation.stage': { stage: 'read', startedMonotonicMs: 990, byteLength: 4096 },
  'manager.opened': {
    policy: 'vram-only',
    policyAccepted: ['device-local'],
    keyKind: 'token',
    engine: 'native',
  },
  'device.opened': { driver: '580.1', ecc: 'on', totalBytes: 80e9, scratchBytes: 1e6 },
  'device.open_failed': { requested: 'cuda:7', error: SAMPLE_ERROR },
  'device.lost': { reason: 'reset', shards: 2 },
  'vram.allocated': { requestedBytes: 4000, allocatedBytes: 4096, usedBytes: 4096, availableBytes: 1e9 },
  'vram.allocation_failed': { requestedBytes: 4000, usedBytes: 0, availableBytes: null, error: SAMPLE_ERROR },
  'vram.deallocated': { freedBytes: 4096, usedBytes: 0, availableBytes: 1e9, wiped: true, error: null },
  'digest.computed': {
    where: 'host',
    byteLength: 4096,
    sha256: null,
    fsverity: `fsverity-sha256-12:${'0'.repeat(64)}`,
    engine: 'native',
  },
  'signature.generated': { sealId: 'a'.repeat(32) },
  'vram.sealed': {
    sealId: 'a'.repeat(32),
    byteLength: 4096,
    sha256: null,
    fsverity: `fsverity-sha256-12:${'0'.repeat(64)}`,
    residency: 'device-local',
    immutability: 'mmu-readonly',
    sealedAt: '2026-01-02T03:04:05.678Z',
    shardIndex: null,
    totalShards: null,
    packed: null,
  },
  'seal.verified': {
    sealId: 'a'.repeat(32),
    mode: 'resident',
    byteLength: 4096,
    fsverity: `fsverity-sha256-12:${'0'.repeat(64)}`,
  },
  'seal.verification_failed': {
    sealId: 'a'.repeat(32),
    mode: 'resident',
    error: { code: 'INTEGRITY_VIOLATION', kind: 'fatal', scope: 'shard', message: 'the bytes differ' },
    expectedDigest: `fsverity-sha256-12:${'0'.repeat(64)}`,
    actualDigest: `fsverity-sha256-12:${'1'.repeat(64)}`,
    transient: false,
    damaged: null,
    damagedGroups: null,
  },
  'policy.violation': {
    policy: 'vram-only',
    residency: 'unified',
    violation: 'the GPU shares its memory with the CPU',
    action: 'stopped',
  },
  'validation.failed': {
    argument: 'shardId',
    error: { code: 'INVALID_INPUT', kind: 'invalid', scope: null, message: '"shardId" must be shorter' },
  },
  'capacity.queried': { totalBytes: 80e9, usedBytes: 1e9, availableBytes: 79e9, source: 'driver' },
  'shard.quarantined': { sealId: 'a'.repeat(32), reason: 'damaged', leasesRevoked: 1 },
  'damage.located': {
    sealId: 'a'.repeat(32),
    damaged: [{ firstBlock: 3, blocks: 1, byteOffset: 12288, byteLength: 4096 }],
    damagedGroups: 1,
    exact: true,
    error: null,
  },
  'shard.healed': { sealId: 'a'.repeat(32), healedBlocks: 1, healed: [], source: 'model.onnx' },
  'heal.failed': { sealId: 'a'.repeat(32), error: SAMPLE_ERROR },
  'execution.finished': { sealId: 'a'.repeat(32), ok: true, verifiedMs: 1, error: null },
  'scrub.finished': { sealId: 'a'.repeat(32), byteLength: 4096, ok: true },
  'drill.injected': { sealId: 'a'.repeat(32), byte: 5, bit: 3 },
  'shard.attested': { sealId: 'a'.repeat(32), nonce: 'ab'.repeat(16) },
  'shard.lent': { ...SAMPLE_LEASE, sealId: 'a'.repeat(32), mappedBytes: 4096 },
  'lease.revoked': { ...SAMPLE_LEASE, shards: 1, reason: 'damaged' },
  'lease.ended': { ...SAMPLE_LEASE, shards: 1, how: 'end' },
  'guard.claimed': {
    guardId: 'c'.repeat(32),
    model: 'llama',
    pid: 4242,
    uid: 1000,
    client: 'engine',
    manifestSha256: 'd'.repeat(64),
    outcome: 'clean',
    against: 'manifest',
    damagedBlocks: 0,
  },
  'close.failed': { what: 'source', name: 'model.onnx', error: SAMPLE_ERROR },
  'manager.stopped': { reason: 'damaged bytes' },
  'manager.closed': { shardsReleased: 1 },
};

/** A valid event of any type, with parts replaced. */
export function sampleEvent<T extends EventType>(type: T, parts: Partial<EventOf<T>> = {}): OperationEvent {
  return { ...CONTEXT, ...SAMPLE_PAYLOADS[type], type, ...parts } as OperationEvent;
}

export const EVENT_TYPES = Object.keys(SAMPLE_PAYLOADS) as EventType[];
