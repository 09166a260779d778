import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterEach, describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../../src/base/error-codes.js';
import type { Observer, OperationEvent } from '../../../src/events/events.js';
import { telemetryObserver, VramManager } from '../../../src/index.js';
import { VramManager as Manager } from '../../../src/manager/index.js';
import type { ManagerOptions } from '../../../src/manager/operations/open-options.js';
import { NarrationCapture } from '../../../src/narration/capture.js';
import { narrationObserver } from '../../../src/narration/observer.js';
import type { Narration } from '../../../src/narration/types.js';
import { bytesSource } from '../../../src/source/bytes.js';
import {
  lieAboutRoot,
  type OpenHost,
  openHost,
  pattern,
  platform,
  Recorder,
  regionsOf,
  TestClock,
} from '../manager/fixture.js';

/** Every look at it is a millisecond later: whatever is measured around some work is longer than nothing. */
class TickingClock extends TestClock {
  override monotonic(): number {
    this.turn(1);
    return this.monotonicMs;
  }
}

const KIB = 1024;
const CORRELATION = { correlationId: 'req-42' };

async function narrated({ options, ...setting }: OpenHost = {}) {
  const capture = new NarrationCapture();
  const { faults, ...rest } = { faults: regionsOf(setting.wrap), ...setting };
  const opened = await openHost({
    ...rest,
    wrap: faults.wrap,
    options: {
      clock: new TickingClock(),
      observers: [narrationObserver({ sinks: [capture], storybook: true })],
      ...CORRELATION,
      ...options,
    },
  });
  return { ...opened, capture, faults };
}

/** Memory that cannot be overwritten any more once the device has passed its tests. */
async function narratedWithStuckMemory() {
  let stuck = false;
  const wipe = (segment: Uint8Array): void => {
    if (stuck) throw new Error('stuck');
    segment.fill(0);
  };
  const opened = await narrated({ inject: { wipe } });
  stuck = true;
  return opened;
}

async function refused(call: Promise<unknown>): Promise<void> {
  await expect(call).rejects.toThrow();
}

/** What every narration of a real run must be. */
function expectSound(told: readonly Narration[]): void {
  expect(told.length).toBeGreaterThan(0);
  for (const { human, storybook, action, correlationId } of told) {
    expect(human.length, human).toBeLessThanOrEqual(160);
    expect(human, action).toMatch(/^\S.*\.$/);
    expect(human).not.toMatch(
      /undefined|NaN|null|\[object|\.\.|[0-9a-f]{64}|\b1 (blocks|groups|leases|shards)\b/,
    );
    expect(storybook?.length).toBeGreaterThan(0);
    expect(correlationId.length).toBeGreaterThan(0);
  }
}

describe('the sentences of real runs', () => {
  it('[NA-001] tells each step of a good life once, in order, with what it took', async () => {
    const host = { totalMemory: () => 2 ** 30, freeMemory: () => 2 ** 29 };
    const { manager, capture } = await narrated({ host });
    const shard = await manager.seal(bytesSource(pattern(600 * KIB)), { shardId: 's1', ...CORRELATION });
    await manager.verify(shard, CORRELATION);
    await manager.execute(shard, () => 1, { ...CORRELATION, maxAgeMs: 1e9 });
    await manager.capacity(CORRELATION);
    await manager.release(shard, CORRELATION);
    await manager.close();
    expect(capture.actions()).toEqual([
      'device_context_initialised',
      'manager_init',
      'vram_allocated',
      'digest_computed',
      'digest_computed',
      'signature_generated',
      'model_sealed',
      'seal_verified',
      'shard_executed',
      'capacity_query',
      'vram_deallocated',
      'manager_closed',
    ]);
    expectSound(capture.told);
    expect(capture.told[2]?.human).toContain('; 536.3 MB free.');
    for (const { durationMs, action, workerId, device, errorKind, level } of capture.told) {
      // An adopted device was opened by somebody else.
      if (action !== 'device_context_initialised') expect(durationMs, action).toBeGreaterThan(0);
      expect({ workerId, device, errorKind, level }).toEqual({
        workerId: 'worker-1',
        device: 'host',
        errorKind: null,
        level: 'info',
      });
    }
    expect(capture.told.slice(0, -1).every(({ correlationId }) => correlationId === 'req-42')).toBe(true);
  });

  it('[NA-001] times the opening of a device of its own', async () => {
    const capture = new NarrationCapture();
    const manager = await Manager.open(
      {
        device: 'host',
        policy: 'any',
        workerId: 'w',
        clock: new TickingClock(),
        observers: [narrationObserver({ sinks: [capture] })],
      },
      platform(),
    );
    await manager.close();
    capture.assertToldInOrder([{ action: 'device_context_initialised' }, { action: 'manager_init' }]);
    expect(capture.told[0]?.durationMs).toBeGreaterThan(0);
  });

  it.each<[string, Partial<ManagerOptions>, string, string]>([
    ['manager_init', { observers: [failing('device.opened')] }, 'AUDIT_FAILED', 'Opening the worker failed'],
    ['policy_violation', { policy: 'vram-only' }, 'POLICY_VIOLATION', 'Policy vram-only refuses'],
    ['device_context_initialised', { device: 'host:3' }, 'INVALID_INPUT', 'host:3 could not be opened'],
    ['device_context_initialised', { device: 'cuda:0' }, 'DEVICE_UNAVAILABLE', 'cuda:0 could not be opened'],
    [
      'validation_failed',
      { budgetBytes: -1 },
      'INVALID_INPUT',
      'Opening the worker was refused: "budgetBytes"',
    ],
    [
      'validation_failed',
      { workerId: '../x' },
      'INVALID_INPUT',
      'Opening the worker was refused: "workerId"',
    ],
    ['validation_failed', { correlationId: '\u0000' }, 'INVALID_INPUT', 'refused: "correlationId"'],
  ])('[NA-001] tells a failure of opening once, as %s (%o)', async (action, options, errorKind, words) => {
    const capture = new NarrationCapture();
    const observers = [
      ...(options.observers ?? []),
      narrationObserver({ sinks: [capture], storybook: true }),
    ];
    await refused(
      Manager.open(
        { device: 'host', policy: 'any', workerId: 'w', clock: new TickingClock(), ...options, observers },
        platform(),
      ),
    );
    const failed = capture.told.filter(
      (narration) => narration.errorKind !== null || narration.level !== 'info',
    );
    expect(failed.map((narration) => narration.action)).toEqual([action]);
    expect(failed[0]?.human).toContain(words);
    if (action !== 'policy_violation') expect(failed[0]).toMatchObject({ errorKind });
    expect(failed[0]?.durationMs).toBeGreaterThan(0);
    expectSound(capture.told);
  });

  it('[NA-001] tells a seal of a source that is not the expected one', async () => {
    const { manager, capture } = await narrated();
    capture.clear();
    const expected = `sha256:${'0'.repeat(64)}`;
    await refused(manager.seal(bytesSource(pattern(5000)), { shardId: 's1', expected }));
    expect(capture.actions()).toEqual([
      'vram_allocated',
      'digest_computed',
      'vram_deallocated',
      'model_sealed',
    ]);
    expect(capture.told.at(-1)).toMatchObject({
      errorKind: 'SOURCE_MISMATCH',
      retriable: false,
      level: 'warn',
    });
    expect(capture.told.at(-1)?.human).toMatch(
      /^Sealing s1 failed with SOURCE_MISMATCH: the source has sha256 [0-9a-f]{8}…, expected 0{8}…; nothing was sealed\.$/,
    );
    expectSound(capture.told);
  });

  it('[NA-001] tells why a seal failed also where giving its memory back fails too', async () => {
    const { manager, capture } = await narratedWithStuckMemory();
    capture.clear();
    await refused(manager.seal(bytesSource(pattern(5000)), { expected: `sha256:${'0'.repeat(64)}` }));
    capture.assertToldInOrder([
      { action: 'vram_deallocated', level: 'error' },
      { action: 'model_sealed', errorKind: 'SOURCE_MISMATCH' },
    ]);
    expectSound(capture.told);
  });

  it.each<[string, number, ErrorCode, string]>([
    ['never', 2, 'INTEGRITY_VIOLATION', 'The bytes on host are not those read for s1'],
    ['at the second look', 1, 'DEVICE_UNAVAILABLE', 'The bytes on host are not those read for s1'],
  ])('[NA-001] tells bytes that arrived %s', async (_when, lies, errorKind, words) => {
    const { manager, capture } = await narrated({ wrap: (device) => lieAboutRoot(device, lies) });
    capture.clear();
    await refused(manager.seal(bytesSource(pattern(5000)), { shardId: 's1' }));
    capture.assertToldInOrder([{ action: 'seal_verification_failed', errorKind }]);
    capture.assertNotTold({ action: 'model_sealed' });
    expect(capture.told.find((narration) => narration.errorKind !== null)?.human).toContain(words);
    expectSound(capture.told);
  });

  it('[NA-001] tells refused memory, refused input and refused handles, each once', async () => {
    const { manager, capture } = await narrated({ options: { budgetBytes: 2 ** 21 } });
    const shard = await manager.seal(bytesSource(pattern(5000)));
    capture.clear();
    await refused(manager.seal(bytesSource(pattern(4 * 2 ** 20)), { shardId: 'big' }));
    await refused(manager.seal(bytesSource(pattern(5000)), { shardId: '../etc' }));
    await refused(manager.verify({ ...shard.toJSON(), byteLength: 1 }));
    await refused(manager.release('{"v":1}'));
    await manager.release(shard);
    await refused(manager.verify(shard));
    expect(capture.told.map(({ action, errorKind }) => [action, errorKind])).toEqual([
      ['vram_allocation_failed', 'INSUFFICIENT_VRAM'],
      ['validation_failed', 'INVALID_INPUT'],
      ['seal_verification_failed', 'SEAL_VERIFICATION_FAILED'],
      ['seal_verification_failed', expect.stringMatching(/NOT_SEALED|SEAL_VERIFICATION_FAILED/)],
      ['vram_deallocated', null],
      ['seal_verification_failed', 'NOT_FOUND'],
    ]);
    for (const { durationMs, action } of capture.told) expect(durationMs, action).toBeGreaterThan(0);
    expectSound(capture.told);
    await manager.close();
    capture.clear();
    await refused(manager.capacity());
    expect(capture.told.map(({ action, errorKind }) => [action, errorKind])).toEqual([
      ['capacity_query', 'STOPPED'],
    ]);
  });

  it('[NA-001] tells a release that could not wipe, once', async () => {
    const { manager, capture } = await narratedWithStuckMemory();
    const shard = await manager.seal(bytesSource(pattern(5000)), { shardId: 's1' });
    capture.clear();
    await refused(manager.release(shard));
    expect(capture.actions()).toEqual(['vram_deallocated']);
    expect(capture.told[0]).toMatchObject({ level: 'error' });
    expect(capture.told[0]?.human).toContain('perhaps not overwritten first');
  });

  it('[NA-001] tells damage, quarantine, failed and good healing, and the end', async () => {
    const { manager, capture } = await narrated({ options: { onVerificationFailure: 'stop' } });
    const bytes = pattern(600 * KIB);
    const shard = await manager.seal(bytesSource(bytes), { shardId: 's1' });
    await manager.drill(shard, { seed: 1, ...CORRELATION });
    capture.clear();
    await refused(manager.verify(shard, CORRELATION));
    await refused(manager.heal(shard, bytesSource(pattern(600 * KIB, 9)), CORRELATION));
    await manager.heal(shard, bytesSource(bytes), CORRELATION);
    await refused(manager.seal(bytesSource(bytes), { shardId: 's2' }));
    expect(capture.told.map(({ action, errorKind }) => [action, errorKind])).toEqual([
      ['seal_verification_failed', 'INTEGRITY_VIOLATION'],
      ['shard_quarantined', null],
      ['manager_stopped', null],
      ['damage_located', null],
      ['shard_healed', 'SOURCE_MISMATCH'],
      ['shard_healed', null],
      ['model_sealed', 'STOPPED'],
    ]);
    expect(capture.told[0]?.human).toMatch(
      /^s1 was found damaged on host in .+: its bytes do not match its seal\.$/,
    );
    expect(capture.told[3]?.human).toBe(
      'The damage in s1 on host was located: 1 group of 512 KiB does not match.',
    );
    expect(capture.told[5]?.human).toMatch(
      /^1 block of s1 repaired from .+ and the whole shard verified again in /,
    );
    expectSound(capture.told);
  });

  it('tells of the first flips of a drill, not of thousands', async () => {
    const { manager, capture } = await narrated();
    const shard = await manager.seal(bytesSource(pattern(5000)), { shardId: 's1' });
    capture.clear();
    await manager.drill(shard, { seed: 1, flips: 100 });
    expect(capture.actions()).toEqual(Array.from({ length: 8 }, () => 'drill_injected'));
    await manager.drill(shard, { seed: 2 });
    expect(capture.told).toHaveLength(9);
  });

  it('[NA-001] does not say of work on an earlier verification that its bytes were verified', async () => {
    const { manager, capture } = await narrated();
    const shard = await manager.seal(bytesSource(pattern(5000)), { shardId: 's1' });
    capture.clear();
    await manager.execute(shard, () => 1);
    await manager.execute(shard, () => 1, { maxAgeMs: 1e9 });
    const sentences = capture.told.filter(({ action }) => action === 'shard_executed');
    expect(sentences.map(({ human }) => human)).toEqual([
      expect.stringMatching(/^Work ran on the verified bytes of s1 in /),
      expect.stringMatching(/^Work ran on s1, verified earlier, in /),
    ]);
    expectSound(capture.told);
    await manager.close();
  });

  it('[NA-001] tells an execution that failed, and drills and statements that were refused', async () => {
    const { manager, capture } = await narrated({ options: { drills: false } });
    const shard = await manager.seal(bytesSource(pattern(5000)), { shardId: 's1' });
    capture.clear();
    const secret = 'password=hunter2000';
    await refused(manager.execute(shard, () => Promise.reject(new Error(secret))));
    await refused(manager.drill(shard));
    await refused(manager.attest(shard, { nonce: new Uint8Array(16) }));
    expect(capture.actions()).toEqual([
      'seal_verified',
      'shard_executed',
      'validation_failed',
      'validation_failed',
    ]);
    expect(capture.told[1]).toMatchObject({ level: 'warn', errorKind: 'ABORTED' });
    expect(JSON.stringify(capture.told)).not.toContain('hunter');
    expectSound(capture.told);
  });

  it('[NA-001] tells the loss of a device', async () => {
    let lose: (reason: string) => void = () => undefined;
    const lost = new Promise<string>((resolve) => {
      lose = resolve;
    });
    const { manager, capture, device } = await narrated({ inject: { lost } });
    const shard = await manager.seal(bytesSource(pattern(5000)), { shardId: 's1' });
    capture.clear();
    lose('the card fell off the bus');
    await device.lost;
    await refused(manager.verify(shard));
    capture.assertToldInOrder([{ action: 'device_lost', level: 'error' }]);
    expect(capture.told[0]?.human).toContain('1 sealed shard,');
    expectSound(capture.told);
    await manager.close();
  });
});

function failing(type: OperationEvent['type']): Observer {
  const observer = new Recorder(true);
  observer.refuse = (event) => event.type === type;
  return observer;
}

describe('correlation', () => {
  afterEach(() => context.disable());

  function tracing() {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    const exporter = new InMemorySpanExporter();
    const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
    const capture = new NarrationCapture();
    const recorder = new Recorder();
    const observers = [
      narrationObserver({ sinks: [capture] }),
      telemetryObserver({ tracerProvider: provider }),
      recorder,
    ];
    const tracer = provider.getTracer('caller');
    return { exporter, tracer, capture, recorder, observers };
  }

  it('[NA-003] passes the active span through every event, sentence and span, callback and worker thread', async () => {
    const { exporter, tracer, capture, recorder, observers } = tracing();
    const manager = await VramManager.open({ device: 'host', policy: 'any', workerId: 'w', observers });
    const request = tracer.startSpan('request', {}, ROOT_CONTEXT);
    const { traceId, spanId } = request.spanContext();
    recorder.events.length = 0;
    capture.clear();
    const active: (string | undefined)[] = [];
    const note = () => active.push(trace.getActiveSpan()?.spanContext().spanId);
    await context.with(trace.setSpan(ROOT_CONTEXT, request), async () => {
      // More than 4 MiB: hashed by worker threads.
      const shard = await manager.seal(bytesSource(pattern(5 * 2 ** 20)), {
        ...CORRELATION,
        onProgress: note,
      });
      await manager.execute(shard, note, CORRELATION);
      note();
      await manager.release(shard, CORRELATION);
    });
    request.end();
    expect(active.length).toBeGreaterThan(3);
    expect(new Set(active)).toEqual(new Set([spanId]));
    for (const event of recorder.events) {
      expect(event).toMatchObject({ correlationId: 'req-42', traceparent: `00-${traceId}-${spanId}-01` });
    }
    for (const narration of capture.told) {
      expect(narration).toMatchObject({ correlationId: 'req-42', traceId, spanId });
    }
    const ours = exporter.getFinishedSpans().filter(({ name }) => name.startsWith('vram_residency.'));
    const traced = ours.filter((span) => span.spanContext().traceId === traceId);
    const names = traced.map(({ name }) => name);
    for (const name of [
      'seal.read',
      'seal.hash',
      'seal.upload',
      'seal.device-tree',
      'seal.sign',
      'execute',
      'release',
    ]) {
      expect(names).toContain(`vram_residency.${name}`);
    }
    const seal = traced.find(({ name }) => name === 'vram_residency.seal');
    expect(seal?.parentSpanContext?.spanId).toBe(spanId);
    for (const span of traced.filter(({ name }) => name.startsWith('vram_residency.seal.'))) {
      expect(span.parentSpanContext?.spanId).toBe(seal?.spanContext().spanId);
    }
    await manager.close();
  });

  it('[NA-003] prefers the caller’s traceparent to the active span’s; makes a correlation id if there is none', async () => {
    const { tracer, capture, observers } = tracing();
    const manager = await VramManager.open({ device: 'host', policy: 'any', workerId: 'w', observers });
    capture.clear();
    const given = { traceId: 'ab'.repeat(16), spanId: 'cd'.repeat(8) };
    const request = tracer.startSpan('request', {}, ROOT_CONTEXT);
    await context.with(trace.setSpan(ROOT_CONTEXT, request), async () => {
      await manager.capacity({ traceparent: `00-${given.traceId}-${given.spanId}-01` });
      await manager.capacity();
    });
    expect(capture.told[0]).toMatchObject(given);
    expect(capture.told[1]).toMatchObject({ traceId: request.spanContext().traceId });
    const ids = capture.told.map(({ correlationId }) => correlationId);
    expect(new Set(ids).size).toBe(2);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
    await manager.close();
  });

  it('[NA-003] tells no trace where there is none', async () => {
    const capture = new NarrationCapture();
    const observers = [narrationObserver({ sinks: [capture] })];
    const manager = await VramManager.open({ device: 'host', policy: 'any', workerId: 'w', observers });
    await manager.close();
    for (const narration of capture.told) expect(narration).toMatchObject({ traceId: null, spanId: null });
  });
});
