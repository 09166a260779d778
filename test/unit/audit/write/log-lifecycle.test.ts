import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CHECKPOINT_RECORDS } from '../../../../src/audit/write/checkpoints.js';
import { AuditLog } from '../../../../src/audit/write/log.js';
import { MemorySink } from '../../../../src/audit/write/memory-sink.js';
import { RecordedSecret } from '../../../../src/audit/write/secret.js';
import type { OperationName } from '../../../../src/events/events.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { refusal } from '../../../support/refusal.js';
import { event, TOKEN, WORKER } from '../events.js';
import { naiveCheckpoint, naiveRoot } from '../oracle.js';
import {
  LOG_ID,
  NOW,
  NotingSink,
  newChain,
  ORIGIN,
  pass,
  settled,
  signer,
  start,
  systemError,
  times,
  verified,
} from './log-fixture.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe('[AU-004] a critical record', () => {
  it('is synced with its own group, not behind what was queued after it', async () => {
    const { log, sink } = await start({}, { signer: null });
    const critical = log.on(event('vram.sealed'));
    times(300, () => void log.on(verified()));
    await critical;
    expect(sink.taken()).toEqual(['append 0-255', 'sync']);
    await log.close();
  });
});

describe('a log', () => {
  it('has a sink and a queue, and is one that operations need', async () => {
    const { chain } = await newChain();
    const parts = { crypto: nodeCrypto, chain, sinks: [new NotingSink()], signer: null };
    expect(await refusal(() => new AuditLog({ ...parts, sinks: [] }))).toBe(
      'INVALID_INPUT: "sinks" must be at least one sink',
    );
    expect(await refusal(() => new AuditLog(parts, { maxQueue: 0 }))).toBe(
      'INVALID_INPUT: "maxQueue" must be an integer of at least 1, got 0',
    );
    const log = new AuditLog(parts, { maxQueue: 1 });
    expect([log.name, log.required, CHECKPOINT_RECORDS]).toEqual(['audit', true, 256]);
    expect(log.status()).toEqual({
      records: 0,
      queued: 0,
      failing: false,
      unrecordedEvents: 0,
      unrecordedReleases: 0,
      checkpointFailures: 0,
      abandonedCalls: { total: 0, settled: 0 },
    });
  });

  it('writes what an event says, at its own time or else at the log\u2019s', async () => {
    const secret = new RecordedSecret(TOKEN);
    const { log, memory } = await start({}, { secret });
    const token = new TextDecoder().decode(TOKEN);
    await log.on(event('manager.stopped', { correlationId: `id ${token}`, reason: token }));
    await log.on(event('manager.stopped', { at: 'today', traceparent: 'x', correlationId: 'c' }));
    await log.record('audit.closed', { records: 7 });
    const { id, mac, prev, ...first } = memory.records()[0] ?? { id: '', mac: '', prev: '' };
    expect([id.length, mac.length, prev]).toEqual([32, 64, '0'.repeat(64)]);
    expect(first).toEqual({
      v: 1,
      seq: 0,
      epoch: 0,
      workerId: WORKER,
      type: 'manager.stopped',
      severity: 'CRITICAL',
      ts: '2026-01-31T12:00:00.000Z',
      correlationId: 'id [redacted]',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      data: {
        operation: 'seal',
        operationId: 'op-1',
        shardId: 'shard-1',
        modelRef: 'model "x"',
        device: { id: 'host', name: 'host memory', uuid: null, residency: 'host', emulated: true },
        reason: '[redacted]',
      },
    });
    expect(memory.records()[1]).toMatchObject({ ts: NOW, traceparent: null, correlationId: 'c' });
    expect(memory.records()[2]).toMatchObject({
      type: 'audit.closed',
      severity: 'HIGH',
      ts: NOW,
      correlationId: null,
      traceparent: null,
      data: { records: 7 },
    });
    const plain = await start();
    await plain.log.on(event('manager.stopped', { reason: token }));
    expect(plain.memory.records()[0]?.data['reason']).toBe(token);
  });

  it('has the time of the system where it is given no clock', async () => {
    const { chain } = await newChain();
    const memory = new MemorySink();
    const before = Date.now();
    const log = new AuditLog({ crypto: nodeCrypto, chain, sinks: [memory], signer: null });
    await log.record('audit.closed', {});
    const ts = Date.parse(memory.records()[0]?.ts ?? '');
    expect(ts).toBeGreaterThanOrEqual(before);
    expect(ts).toBeLessThanOrEqual(Date.now());
  });
});

describe('the head', () => {
  it('is a checkpoint of everything told, or a bare root where none are signed', async () => {
    const { log, sink, memory } = await start();
    void log.on(verified());
    void log.on(verified());
    const lines = async (from: MemorySink): Promise<Buffer> =>
      naiveRoot(
        from
          .segments()
          .flatMap(({ bytes }) => new TextDecoder().decode(bytes).split('\n').slice(0, -1))
          .map((line) => new TextEncoder().encode(line)),
      );
    const head = await log.head();
    const checkpoint = memory.latestCheckpoint;
    expect(head).toEqual({
      origin: ORIGIN,
      logId: LOG_ID,
      size: 2,
      root: new Uint8Array(await lines(memory)),
      checkpoint: checkpoint?.note,
    });
    expect(naiveCheckpoint(head.checkpoint ?? '', signer.publicKey)).toMatchObject({
      origin: ORIGIN,
      size: 2,
    });
    expect(sink.taken()).toEqual(['append 0-1', 'sync', 'checkpoint 2']);
    const bare = await start({}, { signer: null });
    void bare.log.on(verified());
    expect(await bare.log.head()).toEqual({
      origin: ORIGIN,
      logId: LOG_ID,
      size: 1,
      root: new Uint8Array(await lines(bare.memory)),
      checkpoint: null,
    });
    expect(bare.sink.taken()).toEqual(['append 0-0', 'sync']);
    expect(bare.memory.latestCheckpoint).toBeNull();
  });

  it('does not wait for its delivery, of which the next one waits for the one before', async () => {
    const delivered: string[] = [];
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { log } = await start({
      onCheckpoint: async ({ size }) => {
        delivered.push(`begin ${size}`);
        if (size === 0) await gate;
        delivered.push(`end ${size}`);
        if (size === 1) throw systemError('EPIPE');
      },
    });
    await log.head();
    void log.on(verified());
    await log.head();
    const closing = refusal(() => log.close());
    await settled();
    expect(delivered).toEqual(['begin 0']);
    release();
    expect(await closing).toBe('AUDIT_FAILED: the audit log could not be closed in order: EPIPE');
    expect(delivered).toEqual(['begin 0', 'end 0', 'begin 1', 'end 1', 'begin 2', 'end 2']);
    expect(log.status().checkpointFailures).toBe(1);
  });
});

describe('closing', () => {
  it('writes a last record and checkpoint, closes each sink and forgets the keys', async () => {
    const calls: string[] = [];
    const sinks = [new NotingSink(calls, 'a '), new NotingSink(calls, 'b ')];
    const memory = new MemorySink();
    const { log, ratchet } = await start({}, { sinks: [...sinks, memory] });
    void log.on(verified());
    await pass(20);
    expect(vi.getTimerCount()).toBe(1);
    const closing = log.close();
    expect(log.close()).toBe(closing);
    expect(log.flush()).toBe(closing);
    expect(await refusal(() => log.on(verified()))).toBe('AUDIT_FAILED: the audit log is closed');
    await closing;
    expect(calls).toEqual([
      'a append 0-0',
      'b append 0-0',
      'a append 1-1',
      'b append 1-1',
      'a sync',
      'b sync',
      'a checkpoint 2',
      'b checkpoint 2',
      'b close',
      'a close',
    ]);
    expect(vi.getTimerCount()).toBe(0);
    expect(memory.records()[1]).toMatchObject({ type: 'audit.closed', data: { records: 2 } });
    const fromZeros = await nodeCrypto.hkdf(
      new Uint8Array(32),
      new Uint8Array(0),
      new TextEncoder().encode('audit/mac/v1'),
      32,
    );
    expect(await ratchet.macKey()).toEqual(fromZeros);
    expect(await refusal(() => log.head())).toBe('AUDIT_FAILED: the audit log is closed');
    expect(await refusal(() => log.record('audit.pruned', {}))).toBe('AUDIT_FAILED: the audit log is closed');
    const started = (operation: OperationName) => (): unknown =>
      log.on({ ...event('vram.sealed'), operation, type: 'operation.started' });
    expect(await refusal(started('execute'))).toBe('AUDIT_FAILED: the audit log is closed');
    expect(started('verify')()).toBeUndefined();
  });

  it('closes every sink though one fails, and says why', async () => {
    const calls: string[] = [];
    const sinks = [new NotingSink(calls, 'a '), new NotingSink(calls, 'b ')];
    sinks[0]?.failing.set('close', systemError('EIO'));
    const { log } = await start({}, { sinks, signer: null });
    expect(await refusal(() => log.close())).toBe(
      'AUDIT_FAILED: the audit log could not be closed in order: EIO',
    );
    expect(calls).toEqual(['a append 0-0', 'b append 0-0', 'a sync', 'b sync', 'b close', 'a close']);
  });

  it('of a log that cannot be written says so first, and leaves no timer behind', async () => {
    const { log, sink } = await start();
    void log.on(verified());
    await pass(20);
    sink.failing.set('sync', systemError('ENOSPC')).set('close', systemError('EIO'));
    expect(await refusal(() => log.close())).toBe('AUDIT_FAILED: the audit log cannot be written: ENOSPC');
    expect(sink.taken().at(-1)).toBe('close');
    expect(vi.getTimerCount()).toBe(0);
  });
});
