import type {
  EventContext,
  EventOf,
  EventPayloads,
  EventType,
  OperationEvent,
} from '../../../src/events/events.js';

export const TOKEN = new TextEncoder().encode('an audit test token, 32 bytes...');
export const WORKER = 'worker-1';

const LEASE = { leaseId: '22'.repeat(16), pid: 4242, uid: 1000, client: 'engine' } as const;

const CONTEXT: EventContext = {
  at: '2026-01-31T12:00:00.000Z',
  monotonicMs: 1,
  workerId: WORKER,
  correlationId: 'request-7',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  operation: 'seal',
  operationId: 'op-1',
  device: {
    id: 'host',
    name: 'host memory',
    uuid: null,
    residency: 'host',
    emulated: true,
  },
  shardId: 'shard-1',
  modelRef: 'model "x"',
  durationMs: 1.5,
};

const DIGEST = `fsverity-sha256-12:${'ab'.repeat(32)}`;
const ERROR = {
  code: 'INTEGRITY_VIOLATION',
  kind: 'fatal',
  scope: 'shard',
  message: 'block 3 differs',
} as const;

/** One event of every audited type, with plausible figures. */
export const PAYLOADS = {
  'vram.sealed': {
    sealId: '11'.repeat(16),
    byteLength: 4096,
    sha256: null,
    fsverity: DIGEST,
    residency: 'host',
    immutability: 'api-only',
    sealedAt: '2026-01-31T12:00:00.000Z',
    shardIndex: null,
    totalShards: null,
    packed: null,
  },
  'seal.verified': { sealId: '11'.repeat(16), mode: 'resident', byteLength: 4096, fsverity: DIGEST },
  'seal.verification_failed': {
    sealId: '11'.repeat(16),
    mode: 'resident',
    error: ERROR,
    expectedDigest: DIGEST,
    actualDigest: null,
    transient: false,
    damaged: [{ firstBlock: 3, blocks: 1, byteOffset: 12_288, byteLength: 4096 }],
    damagedGroups: 1,
  },
  'vram.allocated': { requestedBytes: 4096, allocatedBytes: 4096, usedBytes: 4096, availableBytes: null },
  'vram.allocation_failed': {
    requestedBytes: 4096,
    usedBytes: 0,
    availableBytes: 12,
    error: { code: 'INSUFFICIENT_VRAM', kind: 'retriable', scope: null, message: 'too little' },
  },
  'vram.deallocated': { freedBytes: 4096, usedBytes: 0, availableBytes: 8192, wiped: true, error: null },
  'policy.violation': {
    policy: 'vram-only',
    residency: 'host',
    violation: 'host memory',
    action: 'refused',
  },
  'shard.quarantined': { sealId: '11'.repeat(16), reason: 'block 3 differs', leasesRevoked: 2 },
  'damage.located': {
    sealId: '11'.repeat(16),
    damaged: [{ firstBlock: 3, blocks: 1, byteOffset: 12_288, byteLength: 4096 }],
    damagedGroups: 1,
    exact: true,
    error: null,
  },
  'shard.healed': {
    sealId: '11'.repeat(16),
    healedBlocks: 1,
    healed: [{ firstBlock: 3, blocks: 1, byteOffset: 12_288, byteLength: 4096 }],
    source: 'file',
  },
  'heal.failed': { sealId: '11'.repeat(16), error: ERROR },
  'device.lost': { reason: 'fell off the bus', shards: 3 },
  'device.open_failed': {
    requested: 'cuda:7',
    error: { code: 'DEVICE_UNAVAILABLE', kind: 'retriable', scope: null, message: 'there is none' },
  },
  'shard.attested': { sealId: '11'.repeat(16), nonce: 'ab'.repeat(16) },
  'shard.lent': { ...LEASE, sealId: '11'.repeat(16), mappedBytes: 2_097_152 },
  'lease.revoked': { ...LEASE, shards: 3, reason: 'damaged' },
  'lease.ended': { ...LEASE, shards: 3, how: 'closed' },
  'guard.claimed': {
    guardId: '33'.repeat(16),
    model: 'llama',
    pid: 4242,
    uid: 1000,
    client: 'engine',
    manifestSha256: 'd'.repeat(64),
    outcome: 'clean',
    against: 'manifest',
    damagedBlocks: 0,
  },
  'manager.stopped': { reason: 'integrity violation' },
  'drill.injected': { sealId: '11'.repeat(16), byte: 77, bit: 3 },
} as const satisfies Partial<EventPayloads>;

/** An event of `type`; `extra` replaces fields. */
export function event<T extends keyof typeof PAYLOADS>(
  type: T,
  extra: Partial<EventContext> & Partial<EventPayloads[T]> = {},
): EventOf<T> {
  return { ...CONTEXT, ...PAYLOADS[type], type, ...extra } as unknown as EventOf<T>;
}

/** An event that is not an audit matter. */
export function otherEvent<T extends EventType>(type: T, payload: EventPayloads[T]): EventOf<T> {
  return { ...CONTEXT, ...payload, type } as unknown as EventOf<T>;
}

/** One event of a type that is only known at run time. */
export function anyEvent(type: keyof typeof PAYLOADS): OperationEvent {
  return event(type) as OperationEvent;
}
