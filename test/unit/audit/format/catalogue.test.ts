import { describe, expect, it } from 'vitest';
import {
  AUDIT_CATALOGUE,
  AUDIT_TYPES,
  auditData,
  isAudited,
  text,
} from '../../../../src/audit/format/catalogue.js';
import { AUDIT_COMMON_FIELDS, AUDIT_DESCRIPTIONS } from '../../../../src/audit/format/descriptions.js';
import type { AuditLog, AuditSink } from '../../../../src/audit/index.js';
import { MemorySink } from '../../../../src/audit/write/memory-sink.js';
import { type AuditObserverOptions, auditObserver } from '../../../../src/audit/write/observer.js';
import type { OperationEvent } from '../../../../src/events/events.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { emit, otherEvent, TOKEN, WORKER } from '../../node/audit/support.js';
import { event, PAYLOADS } from '../events.js';
import { testSigner } from '../signer.js';

const signer = testSigner(7);

const TYPES = Object.keys(PAYLOADS) as (keyof typeof PAYLOADS)[];

function open(sink: AuditSink | AuditSink[], options: Partial<AuditObserverOptions> = {}): Promise<AuditLog> {
  return auditObserver({ sink, workerId: WORKER, token: TOKEN, crypto: nodeCrypto, signer, ...options });
}

const linesOf = (sink: MemorySink): string[] =>
  sink.segments().flatMap(({ bytes }) => new TextDecoder().decode(bytes).split('\n').slice(0, -1));

const asItIs = (value: string): string => value;

/** Marks each text that has passed. */
const marked = (value: string): string => `<${value}>`;

const SEAL_ID = `<${'11'.repeat(16)}>`;

const LEASE = { leaseId: `<${'22'.repeat(16)}>`, pid: 4242, uid: 1000, client: '<engine>' };

const DIGEST = `<fsverity-sha256-12:${'ab'.repeat(32)}>`;

const COMMON = {
  operation: 'seal',
  operationId: '<op-1>',
  shardId: '<shard-1>',
  modelRef: '<model "x">',
  device: { id: '<host>', name: '<host memory>', uuid: null, residency: '<host>', emulated: true },
};

/** What is recorded of the event of each type, every text of others marked. */
const RECORDED: Readonly<Record<keyof typeof PAYLOADS, object>> = {
  'vram.sealed': {
    sealId: SEAL_ID,
    byteLength: 4096,
    sha256: null,
    fsverity: DIGEST,
    residency: '<host>',
    immutability: '<api-only>',
    sealedAt: '<2026-01-31T12:00:00.000Z>',
    shardIndex: null,
    totalShards: null,
  },
  'seal.verified': { sealId: SEAL_ID, mode: 'resident', byteLength: 4096, fsverity: DIGEST },
  'seal.verification_failed': {
    sealId: SEAL_ID,
    mode: 'resident',
    reason: '<block 3 differs>',
    errorCode: 'INTEGRITY_VIOLATION',
    expectedDigest: DIGEST,
    actualDigest: null,
    transient: false,
    damaged: [{ firstBlock: 3, blocks: 1 }],
    damagedRanges: 1,
    damagedGroups: 1,
  },
  'vram.allocated': { requestedBytes: 4096, allocatedBytes: 4096, usedBytes: 4096, availableBytes: null },
  'vram.allocation_failed': {
    requestedBytes: 4096,
    usedBytes: 0,
    availableBytes: 12,
    reason: '<too little>',
    errorCode: 'INSUFFICIENT_VRAM',
  },
  'vram.deallocated': {
    freedBytes: 4096,
    remainingBytes: 0,
    availableBytes: 8192,
    wiped: true,
    reason: null,
    errorCode: null,
  },
  'policy.violation': {
    policy: '<vram-only>',
    residency: '<host>',
    violation: '<host memory>',
    action: 'refused',
  },
  'shard.quarantined': { sealId: SEAL_ID, reason: '<block 3 differs>', leasesRevoked: 2 },
  'damage.located': {
    sealId: SEAL_ID,
    damaged: [{ firstBlock: 3, blocks: 1 }],
    damagedRanges: 1,
    damagedGroups: 1,
    exact: true,
    reason: null,
    errorCode: null,
  },
  'shard.healed': {
    sealId: SEAL_ID,
    healedBlocks: 1,
    healed: [{ firstBlock: 3, blocks: 1 }],
    healedRanges: 1,
    source: '<file>',
  },
  'heal.failed': { sealId: SEAL_ID, reason: '<block 3 differs>', errorCode: 'INTEGRITY_VIOLATION' },
  'device.lost': { reason: '<fell off the bus>', shards: 3 },
  'device.open_failed': {
    requested: '<cuda:7>',
    reason: '<there is none>',
    errorCode: 'DEVICE_UNAVAILABLE',
  },
  'shard.attested': { sealId: SEAL_ID, nonce: `<${'ab'.repeat(16)}>` },
  'shard.lent': { ...LEASE, sealId: SEAL_ID, mappedBytes: 2_097_152 },
  'lease.revoked': { ...LEASE, shards: 3, reason: 'damaged' },
  'lease.ended': { ...LEASE, shards: 3, how: 'closed' },
  'guard.claimed': {
    guardId: '<33333333333333333333333333333333>',
    model: '<llama>',
    pid: 4242,
    uid: 1000,
    client: '<engine>',
    manifestSha256: `<${'d'.repeat(64)}>`,
    outcome: '<clean>',
    against: '<manifest>',
    damagedBlocks: 0,
  },
  'manager.stopped': { reason: '<integrity violation>' },
  'drill.injected': { sealId: SEAL_ID, byte: 77, bit: 3 },
};

describe('the catalogue', () => {
  it('[AU-001] has the seven events of the requirements with their severities', () => {
    expect(
      Object.fromEntries(TYPES.slice(0, 7).map((type) => [type, AUDIT_CATALOGUE[type].severity])),
    ).toEqual({
      'vram.sealed': 'CRITICAL',
      'seal.verified': 'HIGH',
      'seal.verification_failed': 'CRITICAL',
      'vram.allocated': 'MEDIUM',
      'vram.allocation_failed': 'MEDIUM',
      'vram.deallocated': 'MEDIUM',
      'policy.violation': 'CRITICAL',
    });
    expect(AUDIT_CATALOGUE['drill.injected'].severity).toBe('CRITICAL');
    expect([...AUDIT_TYPES].sort()).toEqual(Object.keys(AUDIT_CATALOGUE).sort());
  });

  it('[AU-001] records what voids seals, what was not healed, what was attested and what did not open', () => {
    const recorded = (type: keyof typeof PAYLOADS) => ({
      severity: AUDIT_CATALOGUE[type].severity,
      ...auditData(event(type)),
    });
    expect(recorded('device.lost')).toMatchObject({
      severity: 'CRITICAL',
      reason: 'fell off the bus',
      shards: 3,
    });
    expect(recorded('heal.failed')).toMatchObject({
      severity: 'HIGH',
      sealId: '11'.repeat(16),
      reason: 'block 3 differs',
      errorCode: 'INTEGRITY_VIOLATION',
    });
    expect(recorded('shard.attested')).toMatchObject({
      severity: 'HIGH',
      sealId: '11'.repeat(16),
      nonce: 'ab'.repeat(16),
    });
    expect(recorded('device.open_failed')).toMatchObject({
      severity: 'HIGH',
      requested: 'cuda:7',
      reason: 'there is none',
      errorCode: 'DEVICE_UNAVAILABLE',
    });
  });

  it.each(TYPES)('[AU-001] writes exactly the documented fields of %s', (type) => {
    const data = auditData(event(type));
    const documented = [AUDIT_COMMON_FIELDS, AUDIT_DESCRIPTIONS[type].fields].flatMap(Object.keys);
    expect(Object.keys(data).sort()).toEqual(documented.sort());
    expect(Object.values(data)).not.toContain(undefined);
    expect(data).toMatchObject({ shardId: 'shard-1', device: { id: 'host' }, operationId: 'op-1' });
  });

  it('leaves out what is not an audit matter', () => {
    const others: OperationEvent[] = [
      otherEvent('operation.started', {}),
      otherEvent('operation.finished', { ok: true, error: null }),
      otherEvent('capacity.queried', { totalBytes: 1, usedBytes: 0, availableBytes: 1, source: 'driver' }),
    ];
    expect(others.some(isAudited)).toBe(false);
  });

  it('[AU-006] lets the token into no record, as text, hex or base64, wherever a caller writes it', async () => {
    const sink = new MemorySink();
    const log = await open(sink);
    const written = [
      new TextDecoder().decode(TOKEN),
      Buffer.from(TOKEN).toString('hex'),
      Buffer.from(TOKEN).toString('hex').toUpperCase(),
      Buffer.from(TOKEN).toString('base64'),
      Buffer.from(TOKEN).toString('base64url'),
    ];
    for (const form of written) {
      const label = `model ${form} v2`;
      const error = {
        code: 'INTEGRITY_VIOLATION',
        kind: 'fatal',
        scope: 'shard',
        message: 'x'.repeat(1000) + form,
      } as const;
      const device = { id: form, name: label, uuid: form, residency: form, emulated: true };
      emit(log, event('vram.sealed', { modelRef: label, correlationId: label, shardId: form, device }));
      emit(log, event('heal.failed', { modelRef: form, correlationId: form, error }));
      emit(log, event('shard.attested', { nonce: form }), event('shard.healed', { source: label }));
      emit(
        log,
        event('device.open_failed', { requested: form, error }),
        event('device.lost', { reason: label }),
      );
    }
    await log.close();
    const lines = linesOf(sink);
    expect(lines).toHaveLength(2 + 6 * written.length);
    // Neither whole nor cut short by the limit on text.
    const [text = '', hex = '', , base64 = ''] = written;
    for (const line of lines) {
      for (const form of [text, hex, base64])
        expect(line.toLowerCase()).not.toContain(form.slice(0, 16).toLowerCase());
    }
    const sealed = lines
      .map((line): unknown => JSON.parse(line))
      .filter((line) => JSON.stringify(line).includes('"vram.sealed"'));
    expect(sealed[0]).toMatchObject({
      correlationId: 'model [redacted] v2',
      data: { modelRef: 'model [redacted] v2', shardId: '[redacted]' },
    });
  });

  it('[AU-006] refuses a worker named by its token', async () => {
    const token = new TextEncoder().encode('letters_and-digits-0123456789');
    const workerId = 'worker-letters_and-digits-0123456789';
    await expect(open(new MemorySink(), { token, workerId })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'workerId',
    });
  });

  it('[AU-006] [MS-001] lets no address, no unpaired surrogate and no endless text into a record', () => {
    const error = {
      code: 'DEVICE_UNAVAILABLE',
      kind: 'retriable',
      scope: null,
      message: `at 0x7f3a00001000 ${'\ud800'} ${'x'.repeat(5000)}`,
    } as const;
    const data = auditData(event('vram.allocation_failed', { error }));
    expect(data['reason']).toMatch(/^at \[address\] \ufffd x+\u2026$/);
    expect(String(data['reason']).length).toBeLessThanOrEqual(1024);
  });

  it('records a size that is not a number as null instead of failing', () => {
    expect(auditData(event('vram.allocated', { usedBytes: Number.NaN }))['usedBytes']).toBeNull();
  });

  it('keeps a record of very many damaged ranges under the size of a line', async () => {
    const damaged = Array.from({ length: 10_000 }, (_, i) => ({
      firstBlock: 2 * i,
      blocks: 1,
      byteOffset: 8192 * i,
      byteLength: 4096,
    }));
    const sink = new MemorySink();
    const log = await open(sink);
    await log.on(event('seal.verification_failed', { damaged }));
    const record = sink.records().at(-1);
    expect(record?.data['damagedRanges']).toBe(10_000);
    expect(record?.data['damaged']).toHaveLength(64);
    await log.close();
  });
});

describe('[AU-001] what is recorded', () => {
  it.each(TYPES)('of %s is this and no more, every text cleaned', (type) => {
    expect(auditData(event(type), marked)).toEqual({ ...COMMON, ...RECORDED[type] });
    expect(isAudited(event(type) as OperationEvent)).toBe(true);
  });

  it('is null where there was no device, no shard, no model and no error', () => {
    const none = { device: null, shardId: null, modelRef: null };
    expect(auditData(event('manager.stopped', none), marked)).toEqual({
      ...COMMON,
      ...none,
      reason: '<integrity violation>',
    });
    const device = { ...event('device.lost').device, uuid: 'GPU-1' };
    expect(auditData(event('device.lost', { device } as object), marked)['device']).toEqual({
      ...COMMON.device,
      uuid: '<GPU-1>',
    });
    const sealed = event('vram.sealed', { sha256: 'ab', shardIndex: 1, totalShards: 3 });
    expect(auditData(sealed)).toMatchObject({
      sha256: 'ab',
      shardIndex: 1,
      totalShards: 3,
      fsverity: DIGEST.slice(1, -1),
    });
    const packed = { manifestSha256: 'ef', tensors: 9, files: 2, buffers: 8, paddingBytes: 77 };
    expect(auditData(event('vram.sealed', { packed }), marked)).toMatchObject({
      manifestSha256: '<ef>',
      tensorCount: 9,
      fileCount: 2,
      buffers: 8,
      paddingBytes: 77,
    });
    for (const padding of [true, false]) {
      const drilled = event('drill.injected', { tensor: 'a', byteInTensor: 7, padding });
      expect(auditData(drilled, marked)).toMatchObject({ tensor: '<a>', byteInTensor: 7, padding });
    }
    const damaged = Array.from({ length: 40 }, (_, index) => ({
      firstBlock: index,
      blocks: 1,
      byteOffset: index * 4096,
      byteLength: 4096,
      tensor: `t${index >> 1}`,
      byteInTensor: 0,
    }));
    const named = { tensors: Array.from({ length: 16 }, (_, index) => `<t${index}>`), tensorCount: 20 };
    expect(auditData(event('seal.verification_failed', { damaged }), marked)).toMatchObject(named);
    expect(auditData(event('damage.located', { damaged }), marked)).toMatchObject(named);
    expect(auditData(event('shard.healed', { healed: damaged }), marked)).toMatchObject(named);
    const failed = event('seal.verification_failed', { sealId: null, actualDigest: 'cd', transient: true });
    expect(auditData(failed)).toMatchObject({ sealId: null, actualDigest: 'cd', transient: true });
    const error = { code: 'RELEASE_FAILED', kind: 'fatal', scope: 'device', message: 'busy' } as const;
    expect(auditData(event('damage.located', { damaged: [], exact: false, error }), marked)).toMatchObject({
      damaged: [],
      exact: false,
      reason: '<busy>',
      errorCode: 'RELEASE_FAILED',
    });
    expect(auditData(event('vram.deallocated', { error, wiped: false }), marked)).toMatchObject({
      reason: '<busy>',
      errorCode: 'RELEASE_FAILED',
      wiped: false,
    });
  });

  it('is of the types of the catalogue, each once, in the order of the documentation', () => {
    expect(AUDIT_TYPES).toEqual([
      ...TYPES,
      'handles.refused',
      'audit.opened',
      'audit.recovered',
      'audit.pruned',
      'audit.closed',
    ]);
    expect(new Set(AUDIT_TYPES).size).toBe(25);
    expect(Object.fromEntries(AUDIT_TYPES.map((type) => [type, AUDIT_CATALOGUE[type].severity]))).toEqual({
      'vram.sealed': 'CRITICAL',
      'seal.verified': 'HIGH',
      'seal.verification_failed': 'CRITICAL',
      'vram.allocated': 'MEDIUM',
      'vram.allocation_failed': 'MEDIUM',
      'vram.deallocated': 'MEDIUM',
      'policy.violation': 'CRITICAL',
      'shard.quarantined': 'CRITICAL',
      'damage.located': 'CRITICAL',
      'shard.healed': 'HIGH',
      'heal.failed': 'HIGH',
      'device.lost': 'CRITICAL',
      'device.open_failed': 'HIGH',
      'shard.attested': 'HIGH',
      'shard.lent': 'CRITICAL',
      'lease.revoked': 'HIGH',
      'lease.ended': 'MEDIUM',
      'guard.claimed': 'HIGH',
      'manager.stopped': 'CRITICAL',
      'drill.injected': 'CRITICAL',
      'handles.refused': 'CRITICAL',
      'audit.opened': 'HIGH',
      'audit.recovered': 'CRITICAL',
      'audit.pruned': 'CRITICAL',
      'audit.closed': 'HIGH',
    });
    // Types of the log itself and members of every object are not audited events.
    for (const type of ['audit.opened', 'toString', 'operation.started']) {
      expect(isAudited({ ...event('vram.sealed'), type } as unknown as OperationEvent), type).toBe(false);
    }
  });

  it('of sizes is a safe integer or null', () => {
    const said = (usedBytes: number): unknown =>
      auditData(event('vram.allocated', { usedBytes }))['usedBytes'];
    expect([said(0), said(-1), said(Number.MAX_SAFE_INTEGER)]).toEqual([0, -1, Number.MAX_SAFE_INTEGER]);
    expect(Object.is(said(-0), 0)).toBe(true);
    for (const wrong of [0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) expect(said(wrong)).toBeNull();
  });

  it('of damage that is not located yet is null', () => {
    const failed = auditData(event('seal.verification_failed', { damaged: null, damagedGroups: null }));
    expect(failed).toMatchObject({ damaged: null, damagedRanges: null, damagedGroups: null });
  });

  it('of damage is up to 64 ranges, and the count of all', () => {
    for (const [count, kept] of [
      [0, 0],
      [64, 64],
      [65, 64],
    ] as const) {
      const damaged = Array.from({ length: count }, (_, index) => ({
        firstBlock: 2 * index,
        blocks: 1,
        byteOffset: 8192 * index,
        byteLength: 4096,
      }));
      const ranges = damaged.slice(0, kept).map(({ firstBlock, blocks }) => ({ firstBlock, blocks }));
      for (const type of ['seal.verification_failed', 'damage.located'] as const) {
        const data = auditData(event(type, { damaged }));
        expect(data).toMatchObject({ damagedRanges: count });
        expect(data['damaged']).toEqual(ranges);
      }
      expect(auditData(event('shard.healed', { healed: damaged }))['healedRanges']).toBe(count);
    }
  });
});

describe('[AU-006] text of others', () => {
  it('is at most 1,024 characters, and says where it was cut', () => {
    expect(text('x'.repeat(1024), asItIs)).toBe('x'.repeat(1024));
    expect(text('x'.repeat(1025), asItIs)).toBe(`${'x'.repeat(1023)}\u2026`);
    expect(text(`${'x'.repeat(1022)}\ud83d\ude00y`, asItIs)).toBe(`${'x'.repeat(1022)}\ufffd\u2026`);
  });

  it('has no half of a character and nothing like an address', () => {
    expect(text('\ud83d\ude00 \ud83d x \ude00', asItIs)).toBe('\ud83d\ude00 \ufffd x \ufffd');
    expect(text('\udfff', asItIs)).toBe('\ufffd');
    expect(text('at 0x7f3a00, 0XABCDEF12 and 0x12345', asItIs)).toBe('at [address], [address] and 0x12345');
    expect(text('0x', asItIs)).toBe('0x');
    expect(text('plain', asItIs)).toBe('plain');
  });

  it('is cleaned of the token before anything is cut', () => {
    const clean = (value: string): string => value.replaceAll('secret', '');
    expect(text(`${'x'.repeat(1020)}secret`, clean)).toBe('x'.repeat(1020));
    expect(text('0xsecretabcdef', clean)).toBe('[address]');
  });
});
