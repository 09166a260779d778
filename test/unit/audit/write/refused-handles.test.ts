import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseLine } from '../../../../src/audit/format/record.js';
import type { AuditSink } from '../../../../src/audit/index.js';
import { MemorySink } from '../../../../src/audit/write/memory-sink.js';
import { auditObserver } from '../../../../src/audit/write/observer.js';
import type { ErrorCode } from '../../../../src/base/index.js';
import type { OperationEvent } from '../../../../src/events/events.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { event, TOKEN, WORKER } from '../../node/audit/support.js';
import { testSigner } from '../signer.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});

afterEach(() => {
  vi.useRealTimers();
});

async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function refused(code: ErrorCode = 'SEAL_VERIFICATION_FAILED', at?: string): OperationEvent {
  const error = { code, kind: 'invalid', scope: null, message: 'the handle is not genuine' } as const;
  return event('seal.verification_failed', { sealId: null, error, ...(at === undefined ? {} : { at }) });
}

async function open(sink: AuditSink) {
  return auditObserver({ sink, workerId: WORKER, token: TOKEN, crypto: nodeCrypto, signer: testSigner(5) });
}

const typesOf = (sink: MemorySink): string[] => sink.records().map(({ type }) => type);

describe('[AU-001] [AU-003] refused handles', () => {
  it('of one second share a critical record with their count, behind the first, which has its own', async () => {
    const sink = new MemorySink();
    const log = await open(sink);
    await log.on(refused());
    expect(typesOf(sink)).toEqual(['audit.opened', 'seal.verification_failed']);
    const at = (second: number): string => `2026-01-31T12:00:0${second}.000Z`;
    for (let i = 0; i < 10_000; i++) expect(log.on(refused(undefined, at(1)))).toBeUndefined();
    expect(log.on(refused('NOT_FOUND', at(2)))).toBeUndefined();
    expect(log.on(refused('DEVICE_LOST', at(2)))).toBeUndefined();
    expect(log.on(refused('STOPPED', at(2)))).toBeUndefined();
    expect(log.on(refused('NOT_SEALED', at(3)))).toBeUndefined();
    await pass(999);
    expect(sink.records()).toHaveLength(2);
    await pass(1);
    expect(sink.records().slice(2)).toMatchObject([
      {
        type: 'handles.refused',
        severity: 'CRITICAL',
        data: { refused: 10_004, forged: 10_000, malformed: 1, stale: 3, since: at(1), until: at(3) },
      },
    ]);
    await log.close();
  });

  it('have at most one record a second, as long as the flood lasts, and each its own once it is over', async () => {
    const sink = new MemorySink();
    const log = await open(sink);
    for (let step = 0; step < 50; step++) {
      for (let i = 0; i < 20; i++) void log.on(refused());
      await pass(100);
    }
    // Five seconds: the first handle, and one record for each second.
    expect(
      sink
        .records()
        .slice(1)
        .map(({ data }) => data['refused'] ?? 1),
    ).toEqual([1, 199, 200, 200, 200, 200]);
    await pass(2_000);
    await log.on(refused());
    expect(typesOf(sink).at(-1)).toBe('seal.verification_failed');
    await log.close();
  });

  it('are all on stable storage after flush, head and close, without a record too many', async () => {
    const sink = new MemorySink();
    const log = await open(sink);
    const counts = () =>
      sink.records().flatMap(({ data }) => (data['refused'] === undefined ? [] : [data['refused']]));
    for (let i = 0; i < 3; i++) void log.on(refused());
    await log.flush();
    expect(counts()).toEqual([2]);
    // Nothing is counted, so nothing is due; and the second that was begun goes on.
    await log.flush();
    for (let i = 0; i < 4; i++) void log.on(refused());
    await log.head();
    expect(counts()).toEqual([2, 4]);
    void log.on(refused());
    await log.close();
    expect(counts()).toEqual([2, 4, 1]);
    expect(typesOf(sink).slice(-2)).toEqual(['handles.refused', 'audit.closed']);
    await pass(5_000);
    expect(typesOf(sink).at(-1)).toBe('audit.closed');
  });

  it('hide nothing else: damage has its own record, at once, in the midst of them', async () => {
    const sink = new MemorySink();
    const log = await open(sink);
    for (let i = 0; i < 9; i++) void log.on(refused());
    await log.on(event('seal.verification_failed'));
    expect(sink.records().at(-1)).toMatchObject({ data: { errorCode: 'INTEGRITY_VIOLATION' } });
    await log.close();
  });

  it('are told that the log fails, stay counted meanwhile, once each, and are recorded when it is well', async () => {
    const memory = new MemorySink();
    let failing = false;
    const held: Uint8Array[] = [];
    const make = async (): Promise<void> => {
      if (failing) throw Object.assign(new Error('injected'), { code: 'ENOSPC' });
    };
    const sink: AuditSink = {
      name: 'failing',
      append: async (group) => {
        held.push(...group.lines);
        await make();
      },
      sync: make,
      checkpoint: (checkpoint) => memory.checkpoint(checkpoint),
      close: async () => undefined,
    };
    const log = await open(sink);
    failing = true;
    await expect(log.on(refused())).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    const shared = refused();
    await expect(log.on(shared)).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    await expect(log.on(shared)).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    failing = false;
    await pass(1_100);
    await log.flush();
    const records = held.map((line) => parseLine(line.subarray(0, -1)));
    const counts = records.flatMap((line) =>
      typeof line === 'string' ? [] : (line.record.data['refused'] ?? []),
    );
    expect(counts).toEqual([1]);
    await log.close();
  });
});
