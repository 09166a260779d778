import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { segmentStem } from '../../../../src/audit/format/segment.js';
import type { AuditLogOptions } from '../../../../src/audit/index.js';
import { recoveredData } from '../../../../src/audit/write/entries.js';
import { auditFailed } from '../../../../src/audit/write/failures.js';
import { VramError } from '../../../../src/base/errors.js';
import type { OperationEvent, OperationName } from '../../../../src/events/events.js';
import { refusal } from '../../../support/refusal.js';
import { event, otherEvent } from '../events.js';
import {
  NOW,
  NotingSink,
  newChain,
  pass,
  settled,
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

  it('nothing for what is not an audit matter', async () => {
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

describe('refused handles, while the log cannot be written', () => {
  const forged = (): OperationEvent =>
    event('seal.verification_failed', {
      sealId: null,
      error: {
        code: 'SEAL_VERIFICATION_FAILED',
        kind: 'invalid',
        scope: null,
        message: 'the handle is not genuine',
      },
    });

  it.each([
    ['stay counted while the queue is full, and share one record afterwards', 2, [5]],
    ['are queued each second while there is room', 20, [3, 2]],
  ])('%s', async (_, maxQueue, counts) => {
    const { log, sink, memory } = await start({ maxQueue, monotonicMs: () => 0 }, { signer: null });
    await log.on(forged());
    for (const call of ['append', 'sync']) sink.failing.set(call, systemError('ENOSPC'));
    const refusals: unknown[] = [];
    const refuse = async (made: OperationEvent): Promise<void> => {
      refusals.push(await refusal(async () => log.on(made)));
    };
    // The first is with the sinks already, the others fill the queue of two.
    for (let count = 0; count < 3; count++) await refuse(event('vram.sealed'));
    for (let count = 0; count < 3; count++) await refuse(forged());
    await pass(1_000);
    for (let count = 0; count < 2; count++) await refuse(forged());
    await pass(1_000);
    expect(new Set(refusals)).toEqual(new Set(['AUDIT_FAILED: the audit log cannot be written: ENOSPC']));
    sink.failing.clear();
    await pass(3_000);
    expect(memory.records().flatMap(({ data }) => data['refused'] ?? [])).toEqual(counts);
    await log.close();
  });
});

it('[AU-003] a record of refused handles is synced at once although nobody waits for it', async () => {
  const { log, sink } = await start({}, { signer: null });
  const error = { code: 'SEAL_VERIFICATION_FAILED', kind: 'invalid', scope: null, message: 'x' } as const;
  await log.on(event('seal.verification_failed', { sealId: null, error }));
  expect(log.on(event('seal.verification_failed', { sealId: null, error }))).toBeUndefined();
  sink.taken();
  await pass(1_000);
  expect(sink.taken()).toEqual(['append 1-1', 'sync']);
  await log.close();
});

describe('a wait for the log', () => {
  it('takes no signal that is not one, and writes nothing for it', async () => {
    const { log, sink } = await start({}, { signer: null });
    void log.on(verified());
    const signal = { aborted: false } as AbortSignal;
    for (const wait of [() => log.flush({ signal }), () => log.close({ signal })]) {
      expect(await refusal(wait)).toBe('INVALID_INPUT: "signal" must be an AbortSignal');
    }
    expect(sink.taken()).toEqual([]);
    await log.close();
  });
});
