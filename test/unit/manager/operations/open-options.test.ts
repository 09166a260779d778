import { describe, expect, it } from 'vitest';
import { systemClock, timestamp } from '../../../../src/base/clock.js';
import { hostBackend } from '../../../../src/device/host/index.js';
import type { OpenOptions } from '../../../../src/device/types.js';
import { VramManager } from '../../../../src/manager/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, overlay, pattern, platform, Recorder } from '../fixture.js';
import { host, TRACE } from './open-fixture.js';

describe('[WK-005] refused options', () => {
  it.each<[string, object]>([
    ['"drills" must be true or false', { drills: 'yes' }],
    ['"observers" must be an array of observers', { observers: {} }],
    ['"observers" must be an array of observers', { observers: [null] }],
    ['"observers" must be an array of observers', { observers: [{ on: () => undefined }, {}] }],
    ['"clock" must have the functions now and monotonic', { clock: 5 }],
    ['"clock" must have the functions now and monotonic', { clock: null }],
    ['"clock" must have the functions now and monotonic', { clock: () => 0 }],
    ['"clock" must have the functions now and monotonic', { clock: { now: () => 0 } }],
    ['"clock" must have the functions now and monotonic', { clock: { now: 0, monotonic: () => 0 } }],
    ['"clock" must have the functions now and monotonic', { clock: { now: () => 0, monotonic: 0 } }],
    ['"clock" must have the functions now and monotonic', { clock: { monotonic: () => 0 } }],
    ['"engine" must be a digest engine: see the type DigestEngine', { engine: null }],
    ['"engine" must be a digest engine: see the type DigestEngine', { engine: { start: 1 } }],
    ['"attestationKey" must be a signer: see openAttestationKey', { attestationKey: null }],
    [
      '"attestationKey" must be a signer: see openAttestationKey',
      { attestationKey: { publicKey: new Uint8Array(32) } },
    ],
    [
      '"attestationKey" must be a signer: see openAttestationKey',
      { attestationKey: { sign: async () => new Uint8Array(64) } },
    ],
    [`"auditHead" must be a function that gives the audit log's head`, { auditHead: {} }],
    ['"policy" must be one of vram-only, gpu, any, got string', { policy: 'none' }],
    ['"budgetBytes" must be an integer of at least 1, got 0', { budgetBytes: 0 }],
    ['"maxShardBytes" must be an integer of at least 1, got 0', { maxShardBytes: 0 }],
    [
      '"onVerificationFailure" must be one of quarantine, stop, got string',
      { onVerificationFailure: 'ignore' },
    ],
    ['"keep" must be one of groups, leaves, got string', { keep: 'all' }],
    ['"workerId" must be 1 to 256 characters of A-Z, a-z, 0-9, "_" and "-"', { workerId: '' }],
  ])('%s', async (message, options) => {
    let listed = 0;
    const backend = hostBackend();
    const untouched = overlay(backend, { open: async () => ++listed, list: async () => ++listed });
    const call = VramManager.open({ ...host, ...options }, platform([untouched]));
    expect(await failure(call)).toMatchObject({ code: 'INVALID_INPUT', message });
    expect(listed).toBe(0);
  });

  it.each(['null', '5', '"text"'])('options that are none: %s', async (json) => {
    expect(await failure(VramManager.open(JSON.parse(json), platform()))).toMatchObject({
      code: 'INVALID_INPUT',
      message: '"options" must be an object',
    });
  });

  it('are told of under the worker id, or as of nobody where that is not an id itself', async () => {
    for (const [workerId, named] of [
      ['worker-9', 'worker-9'],
      ['a/b', 'unnamed'],
      [undefined, 'unnamed'],
    ]) {
      const recorder = new Recorder();
      const options = JSON.parse(JSON.stringify({ ...host, workerId, keep: 'all' }));
      await failure(VramManager.open({ ...options, observers: [recorder] }, platform()));
      expect(recorder.types()).toEqual(['operation.started', 'validation.failed', 'operation.finished']);
      expect(recorder.events.map((event) => event.workerId)).toEqual([named, named, named]);
    }
  });

  it('a list of observers that is changed afterwards changes nothing', async () => {
    const recorder = new Recorder();
    const observers = [recorder];
    const manager = await VramManager.open({ ...host, observers }, platform());
    observers.length = 0;
    recorder.events.length = 0;
    await manager.capacity();
    expect(recorder.types()).toEqual(['operation.started', 'capacity.queried', 'operation.finished']);
    await manager.close();
  });
});

describe('what is passed on to the device', () => {
  async function openedWith(options: object): Promise<OpenOptions[]> {
    const given: OpenOptions[] = [];
    const backend = hostBackend();
    const watched = overlay(backend, {
      open: async (index: number, asked: OpenOptions) => {
        given.push(asked);
        return await backend.open(index, asked);
      },
    });
    const manager = await VramManager.open({ ...host, ...options }, platform([watched]));
    await manager.close();
    return given;
  }

  it('drills and the window where they are asked for, and nothing else', async () => {
    expect(await openedWith({})).toEqual([{ drills: false }]);
    expect(await openedWith({ drills: false })).toEqual([{ drills: false }]);
    expect(await openedWith({ drills: true, windowBytes: 8192 })).toEqual([
      { drills: true, windowBytes: 8192 },
    ]);
  });

  it('no drills are allowed unless asked for', async () => {
    const manager = await VramManager.open(host, platform());
    const shard = await manager.seal(bytesSource(pattern(10)));
    expect(await failure(manager.drill(shard))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'drills',
      message: '"drills" must be true when the manager is opened',
    });
    await manager.close();
  });
});

describe('defaults', () => {
  it('without a clock of the caller: the system time, also in what is told', async () => {
    const recorder = new Recorder();
    const before = Date.now();
    const manager = await VramManager.open({ ...host, observers: [recorder] }, platform());
    const { sealedAt } = await manager.seal(bytesSource(pattern(10)));
    const after = Date.now();
    for (const at of [sealedAt, recorder.events[0]?.at ?? '']) {
      expect(Date.parse(at)).toBeGreaterThanOrEqual(before);
      expect(Date.parse(at)).toBeLessThanOrEqual(after);
    }
    await manager.close();
    expect(timestamp({ ...systemClock, now: () => 0 })).toBe('1970-01-01T00:00:00.000Z');
  });

  it('[RP-003] a shard may have 100 GiB and no byte more', async () => {
    const manager = await VramManager.open(host, platform());
    const source = { ...bytesSource(pattern(1)), byteLength: 100 * 2 ** 30 + 1 };
    expect(await failure(manager.seal(source))).toMatchObject({
      message: '"source" has 107374182401 bytes, more than maxShardBytes (107374182400)',
    });
    await manager.close();
    const { manager: small } = await openHost({ options: { maxShardBytes: 10 } });
    expect(await small.seal(bytesSource(pattern(10)))).toMatchObject({ byteLength: 10 });
    expect(await failure(small.seal(bytesSource(pattern(11))))).toMatchObject({
      message: '"source" has 11 bytes, more than maxShardBytes (10)',
    });
    await small.close();
  });

  it('the caller is not asked for a trace context by a platform that has none, and is by one that has', async () => {
    for (const [active, traceparent] of [
      [undefined, null],
      [() => TRACE, TRACE],
    ] as const) {
      const recorder = new Recorder();
      const manager = await VramManager.open(
        { ...host, observers: [recorder] },
        { ...platform(), ...(active === undefined ? {} : { activeTraceparent: active }) },
      );
      expect(recorder.events.map((event) => event.traceparent)).toEqual(
        recorder.events.map(() => traceparent),
      );
      await manager.close();
    }
  });

  it('[NA-003] operations are numbered in order, and have 16 random bytes for a correlation id', async () => {
    const { manager, recorder } = await openHost();
    await manager.capacity();
    await manager.capacity();
    const started = recorder.of('operation.started');
    expect(started.map(({ operationId }) => operationId)).toEqual(['open-1', 'capacity-2', 'capacity-3']);
    for (const { correlationId } of started) expect(correlationId).toMatch(/^[0-9a-f]{32}$/);
    expect(new Set(started.map(({ correlationId }) => correlationId)).size).toBe(3);
    await manager.close();
  });
});
