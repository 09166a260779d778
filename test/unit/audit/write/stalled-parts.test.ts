import { describe, expect, it } from 'vitest';
import { type AuditLogOptions, type AuditSink, MemorySink } from '../../../../src/audit/index.js';
import { auditObserver } from '../../../../src/audit/write/observer.js';
import type { Signer } from '../../../../src/crypto/index.js';
import type { Observer, OperationEvent } from '../../../../src/events/index.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { nodeFileSystem } from '../../../../src/node/files/index.js';
import { failure } from '../../manager/fixture.js';
import { event, openLog, scratch, systemPlatformWith, TOKEN, WORKER } from '../../node/audit/support.js';
import { testSigner } from '../signer.js';

/** Short, for nothing but these limits ends the calls below. */
const LIMITS = { sinkMs: 20, signerMs: 20 };

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** Tells, and does not wait: that the log fails is seen elsewhere. */
function emit(log: Pick<Observer, 'on'>, told: OperationEvent): void {
  void Promise.allSettled([log.on(told)]);
}

/** What does not answer while it is shut. */
class Gate {
  asked = 0;
  shut = false;
  readonly #waiting: ((error: Error | null) => void)[] = [];

  async pass(): Promise<void> {
    if (!this.shut) return;
    this.asked++;
    const error = await new Promise<Error | null>((resolve) => this.#waiting.push(resolve));
    if (error !== null) throw error;
  }

  open(error: Error | null = null): void {
    this.shut = false;
    for (const resolve of this.#waiting.splice(0)) resolve(error);
  }
}

type Part = 'append' | 'sync' | 'checkpoint' | 'close' | 'sign' | 'onCheckpoint';

/** A log in memory, one part of which stands behind a gate. */
async function logWith(part: Part, options: AuditLogOptions = LIMITS) {
  const gate = new Gate();
  const memory = new MemorySink();
  const calls: string[] = [];
  let running = 0;
  const behind = async <T>(name: Part, work: () => Promise<T>): Promise<T> => {
    expect(++running, 'calls of a sink must not overlap').toBe(1);
    calls.push(name);
    try {
      if (name === part) await gate.pass();
      return await work();
    } finally {
      running--;
    }
  };
  const sink: AuditSink = {
    name: 'archive',
    append: (group) => behind('append', () => memory.append(group)),
    sync: () => behind('sync', () => memory.sync()),
    checkpoint: (checkpoint) => behind('checkpoint', () => memory.checkpoint(checkpoint)),
    close: () => behind('close', () => memory.close()),
  };
  const key = testSigner(1);
  const signer: Signer = {
    publicKey: key.publicKey,
    sign: async (bytes) => {
      if (part === 'sign') await gate.pass();
      return await key.sign(bytes);
    },
  };
  const log = await auditObserver({
    sink,
    signer,
    workerId: WORKER,
    token: TOKEN,
    crypto: nodeCrypto,
    ...(part === 'onCheckpoint' ? { onCheckpoint: () => gate.pass() } : {}),
    ...options,
  });
  await log.head();
  return { log, gate, memory, calls };
}

const SINK = 'the sink "archive" has not answered for 20 ms';

describe('an audit log on its own', () => {
  it.each([
    ['append', 'flush', SINK],
    ['sync', 'flush', SINK],
    ['checkpoint', 'head', SINK],
    ['sign', 'head', 'the signer of the audit log has not signed for 20 ms'],
  ] as const)(
    'whose %s hangs fails %s at the limit, and goes on when it answers',
    async (part, wait, why) => {
      const { log, gate, memory } = await logWith(part);
      const before = log.status();
      gate.shut = true;
      emit(log, event('vram.sealed'));
      expect(await failure(log[wait]())).toMatchObject({ code: 'AUDIT_FAILED', message: why });
      expect(log.status()).toMatchObject({ failing: true, abandonedCalls: { total: 1, settled: 0 } });
      // It still runs: another call would not be its turn, and costs no second limit.
      emit(log, event('seal.verified'));
      expect(await failure(log[wait]())).toMatchObject({ code: 'AUDIT_FAILED', message: why });
      expect(gate.asked).toBe(1);
      gate.open();
      await until(() => log.status().abandonedCalls.settled === 1);
      await log.head();
      expect(log.status()).toMatchObject({ failing: false, queued: 0 });
      await log.close();
      // Each once, in order, with a record of the gap.
      const records = memory.records();
      expect(records.map(({ seq }) => seq)).toEqual(records.map((_, index) => index));
      expect(records.slice(before.records).map(({ type }) => type)).toEqual(
        expect.arrayContaining(['vram.sealed', 'audit.recovered', 'seal.verified', 'audit.closed']),
      );
      expect(records.filter(({ type }) => type === 'vram.sealed')).toHaveLength(1);
      expect(memory.latestCheckpoint?.size).toBe(records.length);
    },
  );

  it('whose sink refuses late is a log whose sink failed: what it was given is its own to make good', async () => {
    const { log, gate, memory } = await logWith('sync');
    gate.shut = true;
    emit(log, event('vram.sealed'));
    expect(await failure(log.flush())).toMatchObject({ code: 'AUDIT_FAILED' });
    gate.open(new Error('the disk is full'));
    await until(() => log.status().abandonedCalls.settled === 1);
    await log.close();
    expect(memory.records().filter(({ type }) => type === 'vram.sealed')).toHaveLength(1);
  });

  it('whose onCheckpoint hangs counts that checkpoint as not taken, and writes on', async () => {
    const { log, gate } = await logWith('onCheckpoint');
    gate.shut = true;
    emit(log, event('vram.sealed'));
    await log.head();
    await until(() => log.status().checkpointFailures === 1);
    // Not called again while it runs.
    emit(log, event('seal.verified'));
    await log.head();
    await until(() => log.status().checkpointFailures === 2);
    expect(gate.asked).toBe(1);
    expect(await failure(log.close())).toMatchObject({
      code: 'AUDIT_FAILED',
      message: '"onCheckpoint" has not answered for 20 ms',
    });
    expect(log.status().abandonedCalls).toEqual({ total: 1, settled: 0 });
    gate.open();
    await until(() => log.status().abandonedCalls.settled === 1);
  });

  it('whose sink hangs in close is closed for its owner at the limit', async () => {
    const { log, gate } = await logWith('close');
    gate.shut = true;
    expect(await failure(log.close())).toMatchObject({ code: 'AUDIT_FAILED', message: SINK });
    gate.open();
  });

  it('whose sink hangs before it is closed closes it once that call has ended', async () => {
    const { log, gate, calls } = await logWith('sync');
    gate.shut = true;
    emit(log, event('vram.sealed'));
    await failure(log.flush());
    expect(await failure(log.close())).toMatchObject({ code: 'AUDIT_FAILED', message: SINK });
    expect(calls.at(-1)).toBe('sync');
    gate.open();
    await until(() => calls.at(-1) === 'close');
  });

  it.each(['flush', 'head', 'close'] as const)('ends %s with its caller’s signal', async (wait) => {
    const { log, gate } = await logWith('sync', { sinkMs: 600_000 });
    gate.shut = true;
    emit(log, event('vram.sealed'));
    const aborting = new AbortController();
    const waiting = failure(log[wait]({ signal: aborting.signal }));
    await until(() => gate.asked > 0);
    aborting.abort();
    expect(await waiting).toMatchObject({ code: 'ABORTED' });
    // Nobody's call was given up: the log itself still waits for its sink.
    expect(log.status()).toMatchObject({ failing: false, abandonedCalls: { total: 0 } });
    gate.open();
    await log.close();
  });

  it.each(['sinkMs', 'signerMs'] as const)('refuses a %s that no timer can keep', async (name) => {
    for (const ms of [0, 1.5, 2 ** 31])
      expect(await failure(logWith('sync', { [name]: ms }))).toMatchObject({ argument: name });
  });
});

describe('an audit log in a directory', () => {
  /** Long enough for a disk that is busy. */
  const limits = { sinkMs: 1_000 };

  it('lets no other writer in while a write of its own hangs', async () => {
    const place = await scratch();
    const gate = new Gate();
    const log = await openLog(
      place,
      limits,
      systemPlatformWith({
        ...nodeFileSystem,
        open: async (path, mode) => {
          const file = await nodeFileSystem.open(path, mode);
          if (!path.endsWith('.ndjson')) return file;
          return {
            write: async (bytes, offset) => {
              await gate.pass();
              return await file.write(bytes, offset);
            },
            read: (target, offset) => file.read(target, offset),
            size: () => file.size(),
            truncate: (length) => file.truncate(length),
            sync: () => file.sync(),
            identity: () => file.identity(),
            close: () => file.close(),
          };
        },
      }),
    );
    gate.shut = true;
    emit(log.log, event('vram.sealed'));
    expect(await failure(log.close())).toMatchObject({
      code: 'AUDIT_FAILED',
      message: 'the sink "directory" has not answered for 1000 ms',
    });
    expect(await failure(openLog(place))).toMatchObject({ code: 'AUDIT_FAILED' });
    gate.open();
    let next: Awaited<ReturnType<typeof openLog>> | null = null;
    while (next === null) next = await openLog(place).catch(() => null);
    await next.close();
  });

  it('is not waited for by a sink of the caller’s own that hangs while it is opened', async () => {
    const place = await scratch();
    const memory = new MemorySink();
    const never = new Promise<never>(() => undefined);
    const sink: AuditSink = {
      name: 'archive',
      append: () => never,
      sync: () => memory.sync(),
      checkpoint: (checkpoint) => memory.checkpoint(checkpoint),
      close: () => memory.close(),
    };
    expect(await failure(openLog(place, { ...limits, sinks: [sink] }))).toMatchObject({
      code: 'AUDIT_FAILED',
      message: 'the sink "archive" has not answered for 1000 ms',
    });
    // The lock was given back.
    await (await openLog(place)).close();
  });
});
