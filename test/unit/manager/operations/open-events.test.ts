import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import { hostBackend } from '../../../../src/device/host/index.js';
import type { Backend } from '../../../../src/device/index.js';
import { createPortableEngine } from '../../../../src/digest/index.js';
import { type ManagerOptions, VramManager } from '../../../../src/manager/index.js';
import { failure, overlay, platform, Recorder, TestClock, token } from '../fixture.js';
import { context, host, TRACE } from './open-fixture.js';

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
      `policy "vram-only" does not accept residency class "host": ${violation}; choose another device, or the policy ` +
        `"any" if that is what you want`,
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
