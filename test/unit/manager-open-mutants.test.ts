import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { systemClock, timestamp } from '../../src/base/clock.js';
import { VramError } from '../../src/base/errors.js';
import { hostBackend } from '../../src/device/host/index.js';
import type { Backend } from '../../src/device/index.js';
import type { OpenOptions } from '../../src/device/types.js';
import { createPortableEngine } from '../../src/digest/index.js';
import { type ManagerOptions, VramManager } from '../../src/manager/index.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { bytesSource } from '../../src/source/index.js';
import { testSigner } from './audit-signer.js';
import {
  failure,
  openHost,
  overlay,
  pattern,
  platform,
  Recorder,
  TestClock,
  token,
} from './manager-fixture.js';

const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const host = { device: 'host', workerId: 'w', policy: 'any' } as const;

/** A GPU that is there and whose known answers are wrong. */
function broken(): Backend {
  const backend = hostBackend();
  return overlay(backend, {
    kind: 'cuda',
    list: async () => (await backend.list()).map((info) => ({ ...info, backend: 'cuda' })),
    open: async () => {
      throw new VramError('DEVICE_UNAVAILABLE', 'its known answers were wrong');
    },
  });
}

/** Where and when, of an opening by the standing test clock. */
function context(device: object | null) {
  return {
    at: '2026-01-02T03:04:05.678Z',
    monotonicMs: 1000,
    workerId: 'w',
    correlationId: 'c',
    traceparent: TRACE,
    operation: 'open',
    operationId: 'open-1',
    device,
    shardId: null,
    modelRef: null,
    durationMs: null,
  };
}

const HOST = { id: 'host', name: 'system memory', uuid: null, residency: 'host', emulated: false };
const BROKEN = {
  code: 'DEVICE_UNAVAILABLE',
  kind: 'retriable',
  scope: null,
  message: 'its known answers were wrong',
};

describe('opening without options', () => {
  it.each([undefined, null, 5])('(%s) is refused by name', async (options) => {
    const error = await failure(VramManager.open(options as unknown as ManagerOptions, platform()));
    expect(error).toMatchObject({ code: 'INVALID_INPUT', argument: 'options' });
    expect(error.message).toBe('"options" must be an object');
  });
});

describe('[AU-001] what opening tells', () => {
  it('in order, each event whole, the device in them once it is known', async () => {
    const recorder = new Recorder(true);
    const manager = await VramManager.open(
      {
        workerId: 'w',
        policy: 'any',
        token: token(),
        observers: [recorder],
        clock: new TestClock(),
        correlationId: 'c',
        traceparent: TRACE,
      },
      platform([broken(), hostBackend()]),
    );
    const before = context(null);
    const after = context(HOST);
    expect(recorder.events).toEqual([
      { ...before, type: 'operation.started' },
      { ...before, durationMs: 0, type: 'device.open_failed', requested: 'cuda:0', error: BROKEN },
      {
        ...after,
        durationMs: 0,
        type: 'device.opened',
        driver: null,
        ecc: 'unknown',
        totalBytes: null,
        scratchBytes: expect.any(Number),
      },
      {
        ...after,
        durationMs: 0,
        type: 'manager.opened',
        policy: 'any',
        policyAccepted: ['device-local', 'unified', 'unproven', 'host'],
        keyKind: 'token',
        engine: 'native',
      },
      { ...after, durationMs: 0, type: 'operation.finished', ok: true, error: null },
    ]);
    expect(recorder.of('device.opened')[0]?.device).toSatisfy(Object.isFrozen);
    await manager.close();
  });

  it('of the device and its driver what the device itself says, with the time it took', async () => {
    const clock = new TestClock();
    const recorder = new Recorder();
    const backend = hostBackend({ totalMemory: () => 2 ** 33, freeMemory: () => 2 ** 32 });
    const emulated = overlay(backend, {
      open: async () => {
        clock.turn(7);
        const device = await backend.open(0);
        return overlay(device, {
          info: {
            ...device.info,
            backend: 'cuda',
            index: 2,
            name: 'a GPU',
            uuid: 'GPU-1',
            driver: 'driver 5',
            ecc: 'on',
            execution: 'emulated',
          },
          capacity: async () => {
            clock.turn(5);
            return await device.capacity();
          },
        });
      },
    });
    const manager = await VramManager.open({ ...host, clock, observers: [recorder] }, platform([emulated]));
    expect(recorder.of('device.opened')).toMatchObject([
      {
        device: { id: 'cuda:2', name: 'a GPU', uuid: 'GPU-1', residency: 'host', emulated: true },
        driver: 'driver 5',
        ecc: 'on',
        totalBytes: 2 ** 33,
        durationMs: 7,
      },
    ]);
    expect(recorder.of('device.opened')[0]?.scratchBytes).toBe((await manager.capacity()).scratchBytes);
    expect(recorder.of('manager.opened')).toMatchObject([{ keyKind: 'ephemeral', durationMs: 12 }]);
    await manager.close();
  });

  it('of a refused opening: every device passed over, then what was asked for, with the error of the call', async () => {
    const recorder = new Recorder();
    const clock = new TestClock();
    const error = await failure(
      VramManager.open(
        { workerId: 'w', observers: [recorder], clock, correlationId: 'c', traceparent: TRACE },
        platform([broken()]),
      ),
    );
    const told = { code: 'DEVICE_UNAVAILABLE', kind: 'retriable', scope: null, message: error.message };
    const where = context(null);
    expect(recorder.events).toEqual([
      { ...where, type: 'operation.started' },
      { ...where, durationMs: 0, type: 'device.open_failed', requested: 'cuda:0', error: BROKEN },
      { ...where, durationMs: 0, type: 'device.open_failed', requested: 'auto', error: told },
      { ...where, durationMs: 0, type: 'operation.finished', ok: false, error: told },
    ]);
  });

  it.each([
    ['x'.repeat(65), 'x'.repeat(64)],
    [5, 'number'],
    [null, 'object'],
  ])(
    'a device that is none is named by at most 64 characters, or by its type: %s',
    async (device, requested) => {
      const recorder = new Recorder();
      const options = JSON.parse(JSON.stringify({ device, workerId: 'w' }));
      const error = await failure(VramManager.open({ ...options, observers: [recorder] }, platform()));
      expect(error).toMatchObject({ code: 'INVALID_INPUT', argument: 'device' });
      expect(recorder.of('device.open_failed').map((event) => event.requested)).toEqual([requested]);
    },
  );

  it('a policy that refuses, with nothing opened or kept', async () => {
    const recorder = new Recorder();
    const clock = new TestClock();
    const error = await failure(
      VramManager.open(
        {
          device: 'host',
          workerId: 'w',
          observers: [recorder],
          clock,
          correlationId: 'c',
          traceparent: TRACE,
        },
        platform(),
      ),
    );
    const violation = 'weights are kept in host memory, not in VRAM';
    expect(error.message).toBe(
      `policy "vram-only" does not accept residency class "host": ${violation}; choose another device, or the policy "any" if that is what you want`,
    );
    expect(error.cause).toBeUndefined();
    const told = { code: 'POLICY_VIOLATION', kind: 'fatal', scope: 'manager', message: error.message };
    const where = { ...context(HOST), durationMs: 0 };
    expect(recorder.events.slice(1)).toEqual([
      {
        ...where,
        type: 'policy.violation',
        policy: 'vram-only',
        residency: 'host',
        violation,
        action: 'refused',
      },
      { ...where, type: 'operation.finished', ok: false, error: told },
    ]);
  });

  it('[AU-005] the violation keeps its words when it could not be recorded', async () => {
    const recorder = new Recorder(true);
    recorder.refuse = (event) => event.type === 'policy.violation';
    const call = VramManager.open({ device: 'host', workerId: 'w', observers: [recorder] }, platform());
    expect((await failure(call)).message).toContain('policy "vram-only" does not accept');
  });
});

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

  it('are told of under the worker id, or as of nobody where that is no id itself', async () => {
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

describe('[CI-006] keys', () => {
  const fingerprint = (bytes: Uint8Array): string =>
    createHash('sha256').update('vram-residency/fp\0').update(bytes).digest('hex').slice(0, 6);

  it('are those of the token; every copy of it is zeroed', async () => {
    const inputs: Uint8Array[] = [];
    const watched = overlay(nodeCrypto, {
      hkdf: (...args: Parameters<typeof nodeCrypto.hkdf>) => {
        inputs.push(args[0]);
        return nodeCrypto.hkdf(...args);
      },
    });
    const given = token();
    const manager = await VramManager.open({ ...host, token: given }, { ...platform(), crypto: watched });
    expect(manager.status()).toMatchObject({ key: 'token', keyFingerprint: fingerprint(token()) });
    expect(inputs).toEqual([new Uint8Array(32)]);
    expect(inputs[0]).not.toBe(given);
    expect(given).toEqual(new Uint8Array(32));
    await manager.close();
  });

  it('without a token are those of 32 random bytes, which are zeroed as well', async () => {
    const drawn: Uint8Array[] = [];
    const watched = overlay(nodeCrypto, {
      randomBytes: (length: number) => {
        const bytes = new Uint8Array(length).fill(9);
        drawn.push(bytes);
        return bytes;
      },
    });
    const manager = await VramManager.open(host, { ...platform(), crypto: watched });
    expect(manager.status()).toMatchObject({
      key: 'ephemeral',
      keyFingerprint: fingerprint(new Uint8Array(32).fill(9)),
    });
    expect(drawn.filter(({ length }) => length === 32)).toEqual([new Uint8Array(32)]);
    await manager.close();
  });

  it.each(['hkdf', 'sha256'] as const)(
    'a %s that fails opens nothing, and the token is zeroed all the same',
    async (step) => {
      const copies: Uint8Array[] = [];
      const watched = overlay(nodeCrypto, {
        hkdf: (...args: Parameters<typeof nodeCrypto.hkdf>) => {
          copies.push(args[0]);
          return nodeCrypto.hkdf(...args);
        },
        [step]: async (input: Uint8Array) => {
          copies.push(input);
          throw new VramError('DEVICE_UNAVAILABLE', 'no cryptography');
        },
      });
      const given = token();
      const closed: string[] = [];
      const backend = hostBackend();
      const watchedBackend = overlay(backend, {
        open: async () => overlay(await backend.open(0), { close: async () => void closed.push('device') }),
      });
      const engine = overlay(createPortableEngine(), { close: async () => void closed.push('engine') });
      const call = VramManager.open(
        { ...host, token: given },
        { ...platform([watchedBackend]), crypto: watched, engine: () => engine },
      );
      expect(await failure(call)).toMatchObject({ message: 'no cryptography' });
      expect(given).toEqual(new Uint8Array(32));
      expect(copies.length).toBeGreaterThan(0);
      for (const copy of copies) expect(copy.every((byte) => byte === 0)).toBe(true);
      // Given back in the order opposite to that of taking.
      expect(closed).toEqual(['engine', 'device']);
    },
  );

  it('a policy that refuses leaves the token to the caller, and no copy of it', async () => {
    const copies: Uint8Array[] = [];
    const watched = new (class extends Uint8Array {
      override slice(): Uint8Array<ArrayBuffer> {
        const copy = Uint8Array.from(this);
        copies.push(copy);
        return copy;
      }
    })(token());
    const call = VramManager.open({ device: 'host', workerId: 'w', token: watched }, platform());
    expect(await failure(call)).toMatchObject({ code: 'POLICY_VIOLATION' });
    expect(Uint8Array.from(watched)).toEqual(token());
    expect(copies).toEqual([new Uint8Array(32)]);
  });
});

describe('what is given back when opening fails late', () => {
  it.each([
    ['the platform gave it', false, ['engine', 'device']],
    ['the caller gave it', true, ['device']],
  ])('the engine where %s', async (_name, own, expected) => {
    const closed: string[] = [];
    const recorder = new Recorder(true);
    recorder.refuse = (event) => event.type === 'manager.opened';
    const backend = hostBackend();
    const watched = overlay(backend, {
      open: async () => overlay(await backend.open(0), { close: async () => void closed.push('device') }),
    });
    const engine = overlay(createPortableEngine(), { close: async () => void closed.push('engine') });
    const call = VramManager.open(
      { ...host, observers: [recorder], ...(own ? { engine } : {}) },
      { ...platform([watched]), engine: () => engine },
    );
    expect(await failure(call)).toMatchObject({ code: 'AUDIT_FAILED' });
    expect(closed).toEqual(expected);
  });

  it('one that cannot be given back keeps neither the rest nor the first error from the caller', async () => {
    const closed: string[] = [];
    const recorder = new Recorder(true);
    recorder.refuse = (event) => event.type === 'manager.opened';
    const backend = hostBackend();
    const watched = overlay(backend, {
      open: async () => overlay(await backend.open(0), { close: async () => void closed.push('device') }),
    });
    const engine = overlay(createPortableEngine(), {
      close: async () => {
        throw new Error('stuck');
      },
    });
    const call = VramManager.open(
      { ...host, observers: [recorder] },
      { ...platform([watched]), engine: () => engine },
    );
    expect(await failure(call)).toMatchObject({ code: 'AUDIT_FAILED' });
    expect(closed).toEqual(['device']);
  });

  it('a device that the caller opened stays open, an engine of the caller too, also after close', async () => {
    const closed: string[] = [];
    const backend = hostBackend();
    const device = overlay(await backend.open(0), { close: async () => void closed.push('device') });
    const engine = overlay(createPortableEngine(), { close: async () => void closed.push('engine') });
    const manager = await VramManager.open({ ...host, device, engine }, platform());
    await manager.close();
    const call = VramManager.open({ workerId: 'w', device, engine }, platform());
    expect(await failure(call)).toMatchObject({ code: 'POLICY_VIOLATION' });
    expect(closed).toEqual([]);
  });

  it('[RP-001] scratch may take the whole budget', async () => {
    const { scratchBytes } = (await hostBackend().open(0)).stats();
    const manager = await VramManager.open({ ...host, budgetBytes: scratchBytes }, platform());
    expect(await manager.capacity()).toEqual({
      totalBytes: scratchBytes,
      usedBytes: 0,
      scratchBytes,
      availableBytes: 0,
      source: 'budget',
    });
    await manager.close();
    expect(
      await failure(VramManager.open({ ...host, budgetBytes: scratchBytes - 1 }, platform())),
    ).toMatchObject({ code: 'INSUFFICIENT_VRAM' });
  });
});

describe('an attestation key', () => {
  it('and a log head of the right kind are taken', async () => {
    const manager = await VramManager.open(
      { ...host, attestationKey: testSigner(1), auditHead: () => Promise.reject(new Error('unused')) },
      platform(),
    );
    expect(manager.status().state).toBe('open');
    await manager.close();
  });
});
