import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { SignedCheckpoint } from '../../src/audit/format/checkpoint.js';
import { KeyRatchet } from '../../src/audit/format/keys.js';
import { segmentStem } from '../../src/audit/format/segment.js';
import {
  type AuditGroup,
  type AuditLogOptions,
  type AuditSink,
  formatVerifierKey,
  verifierKey,
} from '../../src/audit/index.js';
import { Chain, emptyChain } from '../../src/audit/write/chain.js';
import {
  AuditLog,
  type AuditLogParts,
  auditFailed,
  CHECKPOINT_RECORDS,
  recoveredData,
} from '../../src/audit/write/log.js';
import { MemorySink } from '../../src/audit/write/memory-sink.js';
import { auditObserver, newLogId, openedData } from '../../src/audit/write/observer.js';
import { RecordedSecret } from '../../src/audit/write/secret.js';
import { VramError } from '../../src/base/errors.js';
import type { CryptoProvider } from '../../src/crypto/provider.js';
import type { OperationEvent, OperationName } from '../../src/events/events.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { memoryLogSource } from '../support/memory-log-source.js';
import { refusal } from '../support/refusal.js';
import { event, otherEvent, TOKEN, WORKER } from './audit-events.js';
import { naiveCheckpoint, naiveRoot } from './audit-oracle.js';
import { testSigner } from './audit-signer.js';

const LOG_ID = '5e'.repeat(16);
const ORIGIN = `vram-residency/${WORKER}/${LOG_ID}`;
const NOW = '2026-01-31T12:30:00.000Z';
const signer = testSigner(6);

/** An error of the system, as sinks meet them. */
const systemError = (code: string): Error => Object.assign(new Error('injected'), { code });

/** Notes what it is asked for, by the numbers of the records; any call can be made to fail. */
class NotingSink implements AuditSink {
  readonly name = 'noting';
  readonly failing = new Map<string, Error>();
  readonly groups: AuditGroup[] = [];
  readonly #calls: string[];
  readonly #label: string;

  constructor(calls: string[] = [], label = '') {
    this.#calls = calls;
    this.#label = label;
  }

  /** What was asked for since the last time. */
  taken(): string[] {
    return this.#calls.splice(0);
  }

  async append(group: AuditGroup): Promise<void> {
    this.groups.push(group);
    await this.#call('append', `${group.firstSeq}-${group.firstSeq + group.lines.length - 1}`);
  }

  sync(): Promise<void> {
    return this.#call('sync');
  }

  checkpoint({ size }: SignedCheckpoint): Promise<void> {
    return this.#call('checkpoint', String(size));
  }

  close(): Promise<void> {
    return this.#call('close');
  }

  async #call(what: string, which = ''): Promise<void> {
    this.#calls.push(`${this.#label}${what}${which === '' ? '' : ` ${which}`}`);
    const error = this.failing.get(what);
    if (error !== undefined) throw error;
  }
}

async function newChain(crypto: CryptoProvider = nodeCrypto) {
  const ratchet = await KeyRatchet.fromToken(crypto, TOKEN, WORKER, LOG_ID);
  return { chain: new Chain(crypto, emptyChain(crypto, WORKER, LOG_ID, ratchet)), ratchet };
}

async function start(options: AuditLogOptions = {}, parts: Partial<AuditLogParts> = {}) {
  const sink = new NotingSink();
  const memory = new MemorySink();
  const { chain, ratchet } = await newChain();
  const log = new AuditLog(
    { crypto: nodeCrypto, chain, sinks: [sink, memory], signer, ...parts },
    { now: () => new Date(NOW), ...options },
  );
  return { log, sink, memory, chain, ratchet };
}

const verified = () => event('seal.verified');
const times = (count: number, tell: () => unknown): void => {
  for (let i = 0; i < count; i++) tell();
};

/** Lets everything run that waits for no timer. */
async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await settled();
}

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

describe('when the log writes', () => {
  it('20 ms after the first event that nobody waits for, in one group', async () => {
    const { log, sink } = await start({}, { signer: null });
    expect(log.on(verified())).toBeUndefined();
    await pass(10);
    void log.on(verified());
    await pass(9);
    expect(sink.taken()).toEqual([]);
    await pass(1);
    expect(sink.taken()).toEqual(['append 0-1']);
    expect(vi.getTimerCount()).toBe(0);
    void log.on(verified());
    await pass(20);
    expect(sink.taken()).toEqual(['append 2-2']);
  });

  it('at once what somebody waits for, with what the same tick emits, and then syncs', async () => {
    const { log, sink } = await start({}, { signer: null });
    void log.on(verified());
    await log.on(event('vram.sealed'));
    expect(sink.taken()).toEqual(['append 0-1', 'sync']);
    // The timer of the first event went with it.
    expect(vi.getTimerCount()).toBe(0);
    await settled();
    const waited = log.on(event('vram.sealed'));
    void log.on(verified());
    await waited;
    expect(sink.taken()).toEqual(['append 2-3', 'sync']);
    await log.record('audit.closed', {});
    expect(sink.taken()).toEqual(['append 4-4', 'sync']);
  });

  it('at once when 256 events wait, and syncs nothing without a signer', async () => {
    const { log, sink } = await start({}, { signer: null });
    times(255, () => log.on(verified()));
    await settled();
    expect(sink.taken()).toEqual([]);
    void log.on(verified());
    await settled();
    expect(sink.taken()).toEqual(['append 0-255']);
    times(300, () => log.on(verified()));
    await log.flush();
    // One sync at the end is enough for who waits.
    expect(sink.taken()).toEqual(['append 256-511', 'append 512-555', 'sync']);
  });

  it('signs a checkpoint after 256 records exactly, however they came', async () => {
    const { log, sink } = await start();
    times(10, () => log.on(verified()));
    await pass(20);
    times(300, () => log.on(verified()));
    await log.flush();
    expect(sink.taken()).toEqual([
      'append 0-9',
      'append 10-255',
      'sync',
      'checkpoint 256',
      'append 256-309',
      'sync',
    ]);
  });

  it('signs one a second after what has none, and none where there is nothing new', async () => {
    const { log, sink } = await start();
    void log.on(verified());
    await pass(20);
    expect(sink.taken()).toEqual(['append 0-0']);
    await pass(500);
    void log.on(verified());
    await pass(20);
    expect(sink.taken()).toEqual(['append 1-1']);
    await pass(479);
    expect(sink.taken()).toEqual([]);
    await pass(1);
    expect(sink.taken()).toEqual(['sync', 'checkpoint 2']);
    expect(vi.getTimerCount()).toBe(0);
    void log.on(verified());
    await pass(1_020);
    expect(sink.taken()).toEqual(['append 2-2', 'sync', 'checkpoint 3']);
    await pass(5_000);
    expect(sink.taken()).toEqual([]);
  });

  it('counts the records that a log already had and that no checkpoint covers', async () => {
    const draft = {
      type: 'audit.closed',
      severity: 'HIGH',
      ts: NOW,
      correlationId: null,
      traceparent: null,
      data: {},
    } as const;
    for (const [checkpointedSize, calls] of [
      [0, ['append 255-255', 'sync', 'sync', 'checkpoint 256']],
      [undefined, ['append 255-255', 'sync']],
    ] as const) {
      const { chain } = await newChain();
      for (let i = 0; i < 255; i++) await chain.append(draft);
      const parts = { chain, ...(checkpointedSize === undefined ? {} : { checkpointedSize }) };
      const { log, sink } = await start({}, parts);
      void log.on(verified());
      await log.flush();
      await settled();
      expect(sink.taken()).toEqual(calls);
    }
  });

  it('each event once, however often it is told', async () => {
    const { log, sink } = await start({ maxQueue: 2 }, { signer: null });
    const sealed = event('vram.sealed');
    await Promise.all([log.on(sealed), log.on(sealed)]);
    expect(sink.taken()).toEqual(['append 0-0', 'sync']);
    await log.on(sealed);
    expect(sink.taken()).toEqual(['sync']);
    // Full with two; whoever comes then waits until there is room, not for a sync, and is kept all the same.
    const third = verified();
    expect([log.on(verified()), log.on(verified())]).toEqual([undefined, undefined]);
    const waited = log.on(third);
    expect(waited).toBeInstanceOf(Promise);
    await waited;
    expect(sink.taken()).toEqual(['append 1-3']);
    await log.on(third);
    expect(sink.taken()).toEqual(['sync']);
    expect(log.status().records).toBe(4);
  });

  it('nothing for what is no audit matter', async () => {
    const { log, sink } = await start();
    expect(log.on(otherEvent('operation.started', {}))).toBeUndefined();
    expect(log.on(otherEvent('operation.finished', { ok: true, error: null }))).toBeUndefined();
    await pass(2_000);
    expect(sink.taken()).toEqual([]);
    await log.flush();
    expect(sink.taken()).toEqual([]);
  });

  it('groups by segment, each told where it begins', async () => {
    const { log, sink } = await start({}, { signer: null });
    void log.on(verified());
    void log.on(verified());
    void log.on(event('seal.verified', { at: '2026-02-01T00:00:00.000Z' }));
    await log.flush();
    expect(
      sink.groups.map(({ segment, firstSeq, lines }) => [segmentStem(segment), firstSeq, lines.length]),
    ).toEqual([
      ['0000000000000000-2026-01-31', 0, 2],
      ['0000000000000002-2026-02-01', 2, 1],
    ]);
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

describe('while writing fails', () => {
  /** A log whose sink fails with its first group. */
  async function failing(options: AuditLogOptions = {}) {
    const clock = { ms: 1_000 };
    const made = await start({ monotonicMs: () => clock.ms, ...options }, { signer: null });
    made.sink.failing.set('append', systemError('EIO')).set('sync', systemError('EIO'));
    const waited = refusal(() => made.log.on(event('vram.sealed')));
    expect(await waited).toBe('AUDIT_FAILED: the audit log cannot be written: EIO');
    made.sink.taken();
    return { ...made, clock };
  }

  it('tries again 100 ms after the last attempt, not before', async () => {
    const { log, sink, clock } = await failing();
    expect(log.status()).toMatchObject({ failing: true, queued: 0, records: 1 });
    clock.ms = 1_099;
    const first = log.on(verified());
    await expect(first).rejects.toThrow('EIO');
    expect(sink.taken()).toEqual([]);
    clock.ms = 1_100;
    await expect(log.on(verified())).rejects.toThrow('EIO');
    expect(sink.taken()).toEqual(['sync']);
    // Counted from this attempt on.
    clock.ms = 1_199;
    await expect(log.on(verified())).rejects.toThrow('EIO');
    expect(sink.taken()).toEqual([]);
    expect(log.status().queued).toBe(3);
    sink.failing.clear();
    clock.ms = 1_200;
    await log.on(verified());
    expect(sink.taken()).toEqual(['sync', 'append 1-5', 'sync']);
    expect(log.status()).toMatchObject({ failing: false, queued: 0, records: 6 });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('lets no operation begin that must be on record, and says nothing of the others', async () => {
    const { log, sink, clock } = await failing();
    const tell = (type: 'operation.started' | 'operation.finished', operation: OperationName) => {
      const told = { ...event('vram.sealed'), type, operation, ok: true, error: null };
      return log.on(told as unknown as OperationEvent);
    };
    for (const operation of ['open', 'seal', 'execute', 'heal', 'drill', 'attest'] as const) {
      await expect(tell('operation.started', operation)).rejects.toThrow('EIO');
      expect(tell('operation.finished', operation)).toBeUndefined();
    }
    expect(tell('operation.started', 'verify')).toBeUndefined();
    expect(sink.taken()).toEqual([]);
    sink.failing.clear();
    clock.ms = 1_100;
    await tell('operation.started', 'seal');
    expect(sink.taken()).toEqual(['sync', 'append 1-1', 'sync']);
    expect(tell('operation.started', 'seal')).toBeUndefined();
  });

  it('counts what finds the queue full, once each, and records the counts and the cause', async () => {
    const { log, sink, memory, clock } = await failing({ maxQueue: 2 });
    const told = [verified(), verified(), verified(), event('vram.deallocated'), event('vram.sealed')];
    for (const each of [...told, ...told]) await expect(log.on(each)).rejects.toThrow('EIO');
    expect(log.status()).toEqual({
      records: 1,
      queued: 2,
      failing: true,
      unrecordedEvents: 3,
      unrecordedReleases: 1,
      checkpointFailures: 0,
      abandonedCalls: { total: 0, settled: 0 },
    });
    sink.failing.clear();
    clock.ms = 2_000;
    await log.flush();
    expect(log.status()).toEqual({
      records: 4,
      queued: 0,
      failing: false,
      unrecordedEvents: 0,
      unrecordedReleases: 0,
      checkpointFailures: 0,
      abandonedCalls: { total: 0, settled: 0 },
    });
    const recovered = memory.records()[1];
    expect(recovered).toMatchObject({ type: 'audit.recovered', severity: 'CRITICAL', ts: NOW });
    expect(recovered?.data).toEqual({
      reason: 'write-failure',
      errorCode: 'EIO',
      tornBytes: 0,
      tornFile: null,
      newlineAdded: false,
      recordsPastCheckpoint: 0,
      unrecordedEvents: 3,
      unrecordedReleases: 1,
    });
  });

  it('holds 8,192 events', async () => {
    const { log } = await failing();
    const told = Array.from({ length: 8_193 }, () => Promise.resolve(log.on(verified())));
    const ends = await Promise.allSettled(told);
    expect(ends.every(({ status }) => status === 'rejected')).toBe(true);
    expect(log.status()).toMatchObject({ queued: 8_192, unrecordedEvents: 1, unrecordedReleases: 0 });
  });

  it('gives every sink every group, and tells of the first failure', async () => {
    const calls: string[] = [];
    const sinks = [new NotingSink(calls, 'a '), new NotingSink(calls, 'b ')];
    sinks[0]?.failing.set('append', systemError('ENOSPC'));
    sinks[1]?.failing.set('append', systemError('EIO'));
    const { log } = await start({}, { sinks, signer: null });
    void log.on(verified());
    void log.on(event('seal.verified', { at: '2026-02-01T00:00:00.000Z' }));
    expect(await refusal(() => log.flush())).toBe('AUDIT_FAILED: the audit log cannot be written: ENOSPC');
    expect(calls).toEqual(['a append 0-0', 'b append 0-0', 'a append 1-1', 'b append 1-1']);
  });

  it('keeps in the queue what could not be chained, and writes what was', async () => {
    let broken = false;
    const { log, sink, memory } = await start(
      {
        now: () => {
          if (broken) throw new Error('no clock');
          return new Date(NOW);
        },
      },
      { signer: null },
    );
    void log.on(verified());
    void log.on(verified());
    broken = true;
    const record = log.record('audit.closed', { records: 0 });
    const behind = log.on(event('vram.sealed'));
    expect(await refusal(() => record)).toBe('AUDIT_FAILED: the audit log cannot be written');
    expect(await refusal(() => behind)).toBe('AUDIT_FAILED: the audit log cannot be written');
    expect(sink.taken()).toEqual(['append 0-1']);
    expect(log.status()).toMatchObject({ failing: true, queued: 2, records: 2 });
    broken = false;
    await log.flush();
    expect(sink.taken()).toEqual(['sync', 'append 2-4', 'sync']);
    expect(memory.records().map(({ type }) => type)).toEqual([
      'seal.verified',
      'seal.verified',
      'audit.recovered',
      'audit.closed',
      'vram.sealed',
    ]);
    expect(memory.records()[2]?.data['errorCode']).toBeNull();
  });

  it('of checkpoints alone is a failure too, and the next head covers what was said of it', async () => {
    const { log, sink } = await start();
    sink.failing.set('checkpoint', systemError('EROFS'));
    expect(await refusal(() => log.head())).toBe('AUDIT_FAILED: the audit log cannot be written: EROFS');
    expect(log.status()).toMatchObject({ failing: true, records: 0 });
    expect(sink.taken()).toEqual(['sync', 'checkpoint 0']);
    // Everything told is on stable storage; the log is failing all the same.
    sink.failing.set('sync', systemError('ENOSPC'));
    expect(await refusal(() => log.flush())).toBe('AUDIT_FAILED: the audit log cannot be written: ENOSPC');
    expect(vi.getTimerCount()).toBe(0);
    sink.failing.clear();
    sink.taken();
    expect((await log.head()).size).toBe(1);
    expect(sink.taken().slice(0, 2)).toEqual(['sync', 'append 0-0']);
  });

  it('signs nothing on recovery that nobody asked for', async () => {
    const { log, sink } = await start();
    sink.failing.set('append', systemError('EIO'));
    await expect(log.on(event('vram.sealed'))).rejects.toThrow('EIO');
    expect(vi.getTimerCount()).toBe(0);
    sink.failing.clear();
    sink.taken();
    await log.flush();
    expect(sink.taken()).toEqual(['sync', 'append 1-1', 'sync']);
    await pass(1_000);
    expect(sink.taken()).toEqual(['sync', 'checkpoint 2']);
  });
});

describe('what is told of a failure', () => {
  it('is the code of the system, and nothing else of a foreign error', () => {
    const told = (cause: unknown): string => {
      const error = auditFailed('no log', cause);
      expect(error.code).toBe('AUDIT_FAILED');
      expect(error.cause).toBe(cause);
      return error.message;
    };
    for (const code of ['EIO', 'AB', 'E2BIG', 'ERR_X', 'A'.repeat(40)]) {
      expect(told(systemError(code))).toBe(`no log: ${code}`);
    }
    for (const code of ['A', 'A'.repeat(41), 'eio', 'EIO!', '!EIO', 'E O', '']) {
      expect(told(systemError(code)), code).toBe('no log');
    }
    for (const cause of [new Error('EIO'), { code: 5 }, { code: null }, null, 'EIO', undefined, 7]) {
      expect(auditFailed('no log', cause).message).toBe('no log');
    }
    expect(told({ code: 'EIO' })).toBe('no log: EIO');
    const inner = new VramError('DEVICE_LOST', 'gone', { cause: systemError('EIO') });
    expect(told(inner)).toBe('no log: EIO');
    expect(told(new VramError('DEVICE_LOST', 'gone'))).toBe('no log');
    const known = new VramError('AUDIT_FAILED', 'known');
    expect(auditFailed('no log', known)).toBe(known);
  });

  it('stands in the record of the recovery, with what did not happen', () => {
    const nothing = {
      errorCode: null,
      tornBytes: 0,
      tornFile: null,
      newlineAdded: false,
      recordsPastCheckpoint: 0,
      unrecordedEvents: 0,
      unrecordedReleases: 0,
    };
    expect(recoveredData({ reason: 'unclean-stop' })).toEqual({ reason: 'unclean-stop', ...nothing });
    expect(recoveredData({ reason: 'write-failure', tornBytes: 5, newlineAdded: true })).toEqual({
      ...nothing,
      reason: 'write-failure',
      tornBytes: 5,
      newlineAdded: true,
    });
  });
});

describe('an observer of its own', () => {
  it('opens its log with a record that names it and its key', async () => {
    const sink = new MemorySink();
    const common = { workerId: WORKER, token: TOKEN, crypto: nodeCrypto };
    const log = await auditObserver({ ...common, sink, signer, now: () => new Date(NOW) });
    const { origin, logId } = await log.head();
    expect(logId).toMatch(/^[0-9a-f]{32}$/);
    expect(origin).toBe(`vram-residency/${WORKER}/${logId}`);
    const key = formatVerifierKey(await verifierKey(nodeCrypto, origin, signer.publicKey));
    expect(sink.records()[0]).toMatchObject({ type: 'audit.opened', ts: NOW });
    expect(sink.records()[0]?.data).toEqual({ logId, origin, verifierKey: key, resumed: false });
    const others = [new MemorySink(), new MemorySink()];
    const unsigned = await auditObserver({ ...common, sink: others });
    await unsigned.close();
    for (const other of others) {
      expect(other.records()[0]?.data).toMatchObject({ verifierKey: null });
      expect(other.records()).toHaveLength(2);
      expect(other.latestCheckpoint).toBeNull();
    }
    expect(await openedData(nodeCrypto, WORKER, LOG_ID, null, true)).toEqual({
      logId: LOG_ID,
      origin: ORIGIN,
      verifierKey: null,
      resumed: true,
    });
    await log.close();
  });

  it('has 16 random bytes for a name, and its own worker and token', async () => {
    const asked: number[] = [];
    const crypto: CryptoProvider = {
      ...nodeCrypto,
      randomBytes: (length) => {
        asked.push(length);
        return new Uint8Array(length).fill(10);
      },
    };
    expect(newLogId(crypto)).toBe('0a'.repeat(16));
    expect(asked).toEqual([16]);
    const open = (workerId: string, token: Uint8Array) => () =>
      auditObserver({ sink: new MemorySink(), workerId, token, crypto: nodeCrypto });
    expect(await refusal(open('a b', TOKEN))).toContain('INVALID_INPUT: "workerId" must be');
    expect(await refusal(open(WORKER, new Uint8Array(16)))).toBe(
      'INVALID_INPUT: "token" must not be all zero (a token is zeroed once its keys are derived: give a fresh copy)',
    );
    const letters = new TextEncoder().encode('letters-and-digits');
    expect(await refusal(open('a-letters-and-digits', letters))).toBe(
      'INVALID_INPUT: "workerId" must not contain the token',
    );
  });
});

describe('a log in memory', () => {
  it('has its segments as files, its records and its checkpoint', async () => {
    const { log, memory } = await start();
    expect([memory.name, memory.latestCheckpoint, memory.segments(), memory.records()]).toEqual([
      'memory',
      null,
      [],
      [],
    ]);
    void log.on(verified());
    await log.flush();
    void log.on(verified());
    void log.on(event('seal.verified', { at: '2026-02-01T00:00:00.000Z' }));
    const head = await log.head();
    expect(memory.latestCheckpoint).toMatchObject({ origin: ORIGIN, size: 3, note: head.checkpoint });
    expect(memory.records().map(({ seq, epoch }) => [seq, epoch])).toEqual([
      [0, 0],
      [1, 0],
      [2, 1],
    ]);
    const segments = memory.segments();
    expect(
      segments.map(({ stem, bytes }) => [stem, new TextDecoder().decode(bytes).split('\n').length]),
    ).toEqual([
      ['0000000000000000-2026-01-31', 3],
      ['0000000000000002-2026-02-01', 2],
    ]);
    const source = memoryLogSource(nodeCrypto, segments, head.checkpoint);
    expect([source.prunedStems, source.stems, source.checkpoint, source.retainedHashes('x')]).toEqual([
      [],
      segments.map(({ stem }) => stem),
      head.checkpoint,
      [],
    ]);
    const job = { stem: segments[1]?.stem ?? '', workerId: WORKER, epoch: 1, macKey: null, snapshots: [] };
    expect(await source.run(job)).toMatchObject({ records: 1, bad: null });
  });

  it('keeps what it was given, whatever becomes of the list, and says what is no record', async () => {
    const { chain } = await newChain();
    const { segment, bytes } = await chain.append({
      type: 'audit.closed',
      severity: 'HIGH',
      ts: NOW,
      correlationId: null,
      traceparent: null,
      data: {},
    });
    const sink = new MemorySink();
    const lines = [bytes];
    await sink.append({ segment, firstSeq: 0, lines });
    lines.push(bytes);
    expect(sink.records()).toHaveLength(1);
    expect(await Promise.all([sink.sync(), sink.close()])).toEqual([undefined, undefined]);
    await sink.append({ segment, firstSeq: 1, lines: [new TextEncoder().encode('x\n')] });
    expect(() => sink.records()).toThrow('the log holds a line that is not-json');
  });
});
