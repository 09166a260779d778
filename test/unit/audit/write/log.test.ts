import { describe, expect, it } from 'vitest';
import type { SignedCheckpoint } from '../../../../src/audit/format/checkpoint.js';
import {
  type AuditGroup,
  type AuditLog,
  type AuditSink,
  formatVerifierKey,
  verifierKey,
  verifyLog,
} from '../../../../src/audit/index.js';
import { MemorySink } from '../../../../src/audit/write/memory-sink.js';
import { type AuditObserverOptions, auditObserver } from '../../../../src/audit/write/observer.js';
import { canonicalJson } from '../../../../src/base/canonical-json.js';
import type { OperationName } from '../../../../src/events/events.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { webCrypto } from '../../../../src/web/web-crypto.js';
import { memoryLogSource } from '../../../support/memory-log-source.js';
import { anyEvent, emit, event, otherEvent, PAYLOADS, TOKEN, WORKER } from '../../node/audit/support.js';
import { naiveChain, naiveCheckpoint, naiveRoot } from '../oracle.js';
import { testSigner } from '../signer.js';

const signer = testSigner(7);

const TYPES = Object.keys(PAYLOADS) as (keyof typeof PAYLOADS)[];

function open(sink: AuditSink | AuditSink[], options: Partial<AuditObserverOptions> = {}): Promise<AuditLog> {
  return auditObserver({ sink, workerId: WORKER, token: TOKEN, crypto: nodeCrypto, signer, ...options });
}

const linesOf = (sink: MemorySink): string[] =>
  sink.segments().flatMap(({ bytes }) => new TextDecoder().decode(bytes).split('\n').slice(0, -1));

/** A sink whose calls can be held up or made to fail. */
class ProbeSink implements AuditSink {
  readonly name = 'probe';
  readonly calls: string[] = [];
  readonly written: number[] = [];
  #held: AuditGroup[] = [];
  failing: string | null = null;
  gate: Promise<void> = Promise.resolve();

  async append(group: AuditGroup): Promise<void> {
    this.#held.push(group);
    await this.#make(`append ${group.lines.length}`);
  }

  sync(): Promise<void> {
    return this.#make('sync');
  }

  async checkpoint({ size }: SignedCheckpoint): Promise<void> {
    await this.#make(`checkpoint ${size}`);
  }

  async close(): Promise<void> {
    this.calls.push('close');
  }

  async #make(call: string): Promise<void> {
    await this.gate;
    if (this.failing !== null) throw Object.assign(new Error('injected'), { code: this.failing });
    for (const { firstSeq, lines } of this.#held.splice(0)) {
      this.written.push(...lines.map((_, index) => firstSeq + index));
    }
    this.calls.push(call);
  }
}

describe('records', () => {
  it('[AU-001] are canonical lines in the order of the events, with worker, correlation and trace', async () => {
    const sink = new MemorySink();
    const log = await open(sink);
    emit(log, ...TYPES.map(anyEvent));
    await log.close();
    const records = sink.records();
    expect(records.map(({ type }) => type)).toEqual(['audit.opened', ...TYPES, 'audit.closed']);
    expect(records.map(({ seq }) => seq)).toEqual(records.map((_, index) => index));
    for (const line of linesOf(sink)) expect(line).toBe(canonicalJson(JSON.parse(line)));
    expect(new Set(records.map(({ id }) => id)).size).toBe(records.length);
    expect(records[1]).toMatchObject({
      v: 1,
      workerId: WORKER,
      correlationId: 'request-7',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      ts: '2026-01-31T12:00:00.000Z',
      severity: 'CRITICAL',
      data: { modelRef: 'model "x"' },
    });
  });

  it.each([
    ['node:crypto', nodeCrypto],
    ['WebCrypto', webCrypto],
  ])('[AU-002] have the MACs, the tree and the signature of the definition with %s', async (_, crypto) => {
    const sink = new MemorySink();
    const log = await open(sink, { crypto });
    emit(log, ...TYPES.map(anyEvent));
    await log.close();
    const lines = linesOf(sink);
    const logId = String(sink.records()[0]?.data['logId']);
    expect(naiveChain(TOKEN, WORKER, logId, lines)).toBe(-1);
    const head = naiveCheckpoint(sink.latestCheckpoint?.note ?? '', signer.publicKey);
    expect(head.size).toBe(lines.length);
    expect(head.root).toEqual(naiveRoot(lines.map((line) => Buffer.from(line))));
  });

  it('[NA-003] drop a trace parent that is none', async () => {
    const sink = new MemorySink();
    const log = await open(sink);
    await log.on(event('vram.sealed', { traceparent: '00-xyz' }));
    expect(sink.records().at(-1)?.traceparent).toBeNull();
    await log.close();
  });

  it('begin a new segment and epoch on a later day, but not when the clock is set back', async () => {
    const sink = new MemorySink();
    const log = await open(sink, { now: () => new Date('2026-01-30T23:59:59.999Z') });
    await log.on(event('vram.sealed', { at: '2026-01-31T00:00:00.000Z' }));
    await log.on(event('vram.sealed', { at: '2026-01-30T23:59:59.000Z' }));
    await log.on(event('vram.sealed', { at: '2026-02-01T00:00:00.000Z' }));
    expect(sink.segments().map(({ stem }) => stem)).toEqual([
      '0000000000000000-2026-01-30',
      '0000000000000001-2026-01-31',
      '0000000000000003-2026-02-01',
    ]);
    expect(sink.records().map(({ epoch }) => epoch)).toEqual([0, 1, 1, 2]);
    await log.close();
    expect(naiveChain(TOKEN, WORKER, String(sink.records()[0]?.data['logId']), linesOf(sink))).toBe(-1);
  });

  it('verify from memory, also with the key that the log names itself', async () => {
    const sink = new MemorySink();
    const log = await open(sink);
    emit(log, event('vram.sealed'), event('vram.deallocated'));
    await log.close();
    const source = memoryLogSource(nodeCrypto, sink.segments(), sink.latestCheckpoint?.note ?? null);
    const { origin } = sink.latestCheckpoint ?? { origin: '' };
    const line = formatVerifierKey(await verifierKey(nodeCrypto, origin, signer.publicKey));
    expect(await verifyLog(nodeCrypto, source, { token: TOKEN })).toMatchObject({ ok: true, records: 4 });
    expect(await verifyLog(nodeCrypto, source, { verifierKey: line })).toMatchObject({
      ok: true,
      chain: 'links-only',
      signature: 'verified',
    });
    await expect(verifyLog(nodeCrypto, source, {})).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  });
});

describe('what waits for what', () => {
  it('[AU-003] a critical event waits for its sync, the others for nothing', async () => {
    const sink = new ProbeSink();
    const log = await open(sink);
    expect(log.on(event('seal.verified'))).toBeUndefined();
    expect(log.on(otherEvent('operation.started', {}))).toBeUndefined();
    const promise = log.on(event('vram.sealed'));
    expect(promise).toBeInstanceOf(Promise);
    await promise;
    expect(sink.calls.slice(-2)).toEqual(['append 2', 'sync']);
    await log.close();
  });

  it('[AU-004] what nobody waits for is written within its time or number, without a sync of its own', async () => {
    const sink = new ProbeSink();
    const log = await open(sink);
    const before = sink.calls.length;
    emit(log, event('seal.verified'));
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(sink.calls.slice(before)).toEqual(['append 1']);
    await log.flush();
    expect(sink.calls.at(-1)).toBe('sync');
    await log.close();
  });

  it('a checkpoint comes after at most 256 records, after a quiet second, and on close', async () => {
    const sink = new ProbeSink();
    const log = await open(sink);
    emit(log, ...Array.from({ length: 600 }, () => event('vram.allocated')));
    await log.flush();
    const sizes = () =>
      sink.calls.filter((call) => call.startsWith('checkpoint')).map((call) => Number(call.slice(11)));
    expect(sizes()).toEqual([256, 512]);
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    expect(sizes()).toEqual([256, 512, 601]);
    await log.close();
    expect(sizes()).toEqual([256, 512, 601, 602]);
    for (const [index, call] of sink.calls.entries()) {
      if (call.startsWith('checkpoint')) expect(sink.calls[index - 1]).toBe('sync');
    }
  });

  it('[AU-004] a full queue makes the emitter wait, and loses nothing', async () => {
    const sink = new ProbeSink();
    const log = await open(sink, { maxQueue: 4 });
    let release = (): void => undefined;
    sink.gate = new Promise((resolve) => {
      release = resolve;
    });
    const answers = Array.from({ length: 10 }, () => log.on(event('vram.allocated')));
    expect(answers.map((answer) => answer instanceof Promise)).toEqual([
      ...Array(4).fill(false),
      ...Array(6).fill(true),
    ]);
    let waiting = true;
    const all = Promise.all(answers).then(() => {
      waiting = false;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(waiting).toBe(true);
    release();
    await all;
    await log.close();
    expect(sink.written).toEqual(Array.from({ length: 12 }, (_, index) => index));
  });

  it('several sinks are given the same lines', async () => {
    const first = new MemorySink();
    const second = new MemorySink();
    const log = await open([first, second]);
    emit(log, event('vram.sealed'), event('seal.verified'));
    await log.close();
    expect(linesOf(second)).toEqual(linesOf(first));
    expect(linesOf(first)).toHaveLength(4);
    expect(second.latestCheckpoint).toEqual(first.latestCheckpoint);
  });

  it('the head covers everything told before, and is signed', async () => {
    const sink = new MemorySink();
    const log = await open(sink);
    emit(log, event('seal.verified'), event('seal.verified'));
    const head = await log.head();
    expect(head.size).toBe(3);
    expect(naiveCheckpoint(head.checkpoint ?? '', signer.publicKey)).toMatchObject({
      origin: head.origin,
      size: 3,
      root: Buffer.from(head.root),
    });
    expect(await log.head()).toEqual(head);
    await log.close();
    await expect(log.head()).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
  });

  it('each checkpoint goes outside in order; a failing delivery stops nothing and is told on close', async () => {
    const sizes: number[] = [];
    const log = await open(new MemorySink(), {
      onCheckpoint: async ({ size }) => {
        await Promise.resolve();
        sizes.push(size);
        if (size === 2) throw new Error('no route');
      },
    });
    for (let i = 0; i < 3; i++) {
      await log.head();
      emit(log, event('seal.verified'));
    }
    await log.flush();
    await expect(log.close()).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    expect(sizes).toEqual([1, 2, 3, 5]);
    expect(log.status().checkpointFailures).toBe(1);
  });

  it('closing again is the same, and nothing is taken afterwards', async () => {
    const sink = new ProbeSink();
    const log = await open(sink);
    const closing = log.close();
    expect(log.close()).toBe(closing);
    await closing;
    await expect(log.on(event('seal.verified'))).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    await expect(log.record('audit.pruned', {})).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    await log.flush();
    expect(sink.calls.filter((call) => call === 'close')).toHaveLength(1);
  });
});

describe('[AU-005] while writing fails', () => {
  it('waiters are rejected with AUDIT_FAILED, and later events at once', async () => {
    const sink = new ProbeSink();
    const log = await open(sink);
    sink.failing = 'ENOSPC';
    await expect(log.on(event('vram.sealed'))).rejects.toMatchObject({
      code: 'AUDIT_FAILED',
      message: 'the audit log cannot be written: ENOSPC',
    });
    expect(log.status().failing).toBe(true);
    await expect(log.on(event('seal.verified'))).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    await expect(log.flush()).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    await expect(log.close()).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    expect(sink.calls.at(-1)).toBe('close');
  });

  it('operations that must be recorded do not begin, even with nothing to record at first; the others do', async () => {
    let ms = 0;
    const sink = new ProbeSink();
    const log = await open(sink, { monotonicMs: () => ms });
    const started = (operation: OperationName): void | Promise<void> =>
      log.on({ ...event('vram.sealed'), operation, type: 'operation.started' });
    expect(started('execute')).toBeUndefined();
    sink.failing = 'ENOSPC';
    await expect(log.on(event('vram.sealed'))).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    await expect(started('execute')).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    await expect(started('seal')).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    expect(started('verify')).toBeUndefined();
    expect(started('release')).toBeUndefined();
    sink.failing = null;
    ms = 1_000;
    await started('execute');
    expect(log.status().failing).toBe(false);
    await log.close();
    await expect(started('execute')).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
  });

  it('what was taken is written on recovery, in order, with a record that says so', async () => {
    let ms = 0;
    const sink = new ProbeSink();
    const memory = new MemorySink();
    const log = await open([memory, sink], { monotonicMs: () => ms });
    sink.failing = 'EIO';
    await expect(log.on(event('vram.sealed'))).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    await expect(log.on(event('vram.deallocated'))).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    sink.failing = null;
    await expect(log.on(event('shard.healed'))).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    ms = 1_000;
    await log.on(event('seal.verified'));
    expect(log.status()).toMatchObject({ failing: false, unrecordedEvents: 0 });
    await log.close();
    expect(memory.records().map(({ type }) => type)).toEqual([
      'audit.opened',
      'vram.sealed',
      'audit.recovered',
      'vram.deallocated',
      'shard.healed',
      'seal.verified',
      'audit.closed',
    ]);
    expect(memory.records()[2]?.data).toMatchObject({ reason: 'write-failure', errorCode: 'EIO' });
    expect(sink.written).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it('an event that was rejected and is told again is written once', async () => {
    let ms = 0;
    const sink = new ProbeSink();
    const memory = new MemorySink();
    const log = await open([memory, sink], { monotonicMs: () => ms, maxQueue: 2 });
    sink.failing = 'EIO';
    const sealed = event('vram.sealed');
    const releases = Array.from({ length: 3 }, () => event('vram.deallocated'));
    const told = [sealed, ...releases];
    for (const each of [...told, ...told]) await expect(log.on(each)).rejects.toThrow('EIO');
    expect(log.status()).toMatchObject({ queued: 2, unrecordedEvents: 1, unrecordedReleases: 1 });
    sink.failing = null;
    ms = 1_000;
    for (const each of told) await log.on(each);
    await log.close();
    expect(memory.records().map(({ type }) => type)).toEqual([
      'audit.opened',
      'vram.sealed',
      'audit.recovered',
      'vram.deallocated',
      'vram.deallocated',
      'vram.deallocated',
      'audit.closed',
    ]);
  });

  it('events that find the queue full are counted, releases apart, and the counts are recorded', async () => {
    let ms = 0;
    const sink = new ProbeSink();
    const memory = new MemorySink();
    const log = await open([memory, sink], { monotonicMs: () => ms, maxQueue: 2 });
    sink.failing = 'ENOSPC';
    await expect(log.on(event('vram.sealed'))).rejects.toThrow('ENOSPC');
    const types = ['vram.deallocated', 'vram.deallocated', 'vram.deallocated', 'seal.verified'] as const;
    for (const type of types) await expect(log.on(anyEvent(type))).rejects.toThrow('ENOSPC');
    expect(log.status()).toMatchObject({ queued: 2, unrecordedEvents: 2, unrecordedReleases: 1 });
    sink.failing = null;
    ms = 1_000;
    await log.flush();
    const recovered = memory.records().find(({ type }) => type === 'audit.recovered');
    expect(recovered?.data).toMatchObject({ unrecordedEvents: 2, unrecordedReleases: 1 });
    await log.close();
  });
});
