import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../../src/base/clock.js';
import { VramError } from '../../../../src/base/errors.js';
import { hostBackend } from '../../../../src/device/host/index.js';
import type { Backend } from '../../../../src/device/index.js';
import { VramManager } from '../../../../src/manager/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, overlay, pattern, platform, Recorder, regionsOf, token } from '../fixture.js';

describe('open', () => {
  it.each<[string, string, object]>([
    ['[WK-005] no worker id', 'workerId', { workerId: undefined }],
    ['[IV-003] a bad worker id', 'workerId', { workerId: 'a/b' }],
    ['a short token', 'token', { token: new Uint8Array(15).fill(1) }],
    ['a token of zeros', 'token', { token: new Uint8Array(32) }],
    ['a token that is text', 'token', { token: 'secret-secret-secret' }],
    ['an unknown policy', 'policy', { policy: 'none' }],
    ['a budget of nothing', 'budgetBytes', { budgetBytes: 0 }],
    ['a negative budget', 'budgetBytes', { budgetBytes: -1 }],
    ['a fractional budget', 'budgetBytes', { budgetBytes: 0.5 }],
    ['a budget of NaN', 'budgetBytes', { budgetBytes: Number.NaN }],
    ['a budget of 2^53', 'budgetBytes', { budgetBytes: 2 ** 53 }],
    ['[RP-003] an infinite maxShardBytes', 'maxShardBytes', { maxShardBytes: Number.POSITIVE_INFINITY }],
    ['an unknown reaction', 'onVerificationFailure', { onVerificationFailure: 'ignore' }],
    ['an unknown level to keep', 'keep', { keep: 'all' }],
    ['observers that are none', 'observers', { observers: [{}] }],
    ['drills that are text', 'drills', { drills: 'yes' }],
    ['[IV-002] a device that is not there', 'device', { device: 'host:3' }],
    ['a device that is a number', 'device', { device: 5 }],
    ['a tiny window', 'windowBytes', { windowBytes: 100 }],
    ['a malformed traceparent', 'traceparent', { traceparent: 'x' }],
  ])('refuses %s and says which argument', async (_name, argument, options) => {
    const call = VramManager.open({ device: 'host', workerId: 'w', policy: 'any', ...options }, platform());
    expect(await failure(call)).toMatchObject({ code: 'INVALID_INPUT', argument });
  });

  it('refuses options that are none', async () => {
    expect(await failure(VramManager.open(JSON.parse('null'), platform()))).toMatchObject({
      argument: 'options',
    });
  });

  it('[VP-002] [VP-005] [VP-007] host memory does not open under the default policy, and that is told', async () => {
    const recorder = new Recorder();
    const call = VramManager.open({ device: 'host', workerId: 'w', observers: [recorder] }, platform());
    const error = await failure(call);
    expect(error).toMatchObject({ code: 'POLICY_VIOLATION', kind: 'fatal', scope: 'manager' });
    expect(error.message).toContain('"any"');
    expect(recorder.of('policy.violation')).toMatchObject([
      { policy: 'vram-only', residency: 'host', action: 'refused', workerId: 'w' },
    ]);
    expect(recorder.types()).not.toContain('manager.opened');
  });

  it('[VP-005] [AU-005] an audit failure does not mask the violation', async () => {
    const recorder = new Recorder(true);
    recorder.refuse = (event) => event.type === 'policy.violation';
    const call = VramManager.open({ device: 'host', workerId: 'w', observers: [recorder] }, platform());
    expect(await failure(call)).toMatchObject({ code: 'POLICY_VIOLATION', cause: { code: 'AUDIT_FAILED' } });
  });

  it('[AU-005] what could not be recorded is the cause of a refused allocation, beside the cause it has', async () => {
    for (const own of [undefined, new Error('CUDA_ERROR_OUT_OF_MEMORY')]) {
      const recorder = new Recorder(true);
      const { manager } = await openHost({
        recorder,
        wrap: (device) =>
          overlay(device, {
            allocate: async () => {
              throw new VramError('ALLOCATION_FAILED', 'no', { ...(own && { cause: own }), neededBytes: 7 });
            },
          }),
      });
      recorder.refuse = (event) => event.type === 'vram.allocation_failed';
      const error = await failure(manager.seal(bytesSource(pattern(5))));
      expect(error).toMatchObject({ code: 'ALLOCATION_FAILED', message: 'no', neededBytes: 7 });
      const causes = error.cause instanceof AggregateError ? error.cause.errors : [error.cause];
      expect(causes[0]).toMatchObject({ code: 'AUDIT_FAILED' });
      expect(causes.slice(1)).toEqual(own === undefined ? [] : [own]);
      await manager.close();
    }
  });

  describe('auto that passes over a device', () => {
    /** A GPU that is there and whose known answers are wrong. */
    const broken = (): Backend => {
      const host = hostBackend();
      return overlay(host, {
        kind: 'cuda',
        list: async () => (await host.list()).map((info) => ({ ...info, backend: 'cuda' })),
        open: async () => {
          throw new VramError('DEVICE_UNAVAILABLE', 'its known answers were wrong');
        },
      });
    };
    /** A backend of a machine that has no such device. */
    const absent = (): Backend =>
      overlay(hostBackend(), {
        kind: 'webgpu',
        list: async () => [],
        problem: async () => ({
          backend: 'webgpu',
          code: 'DEVICE_UNAVAILABLE',
          message: 'npm install webgpu',
          failed: false,
        }),
      });
    const failed = {
      type: 'device.open_failed',
      requested: 'cuda:0',
      error: { code: 'DEVICE_UNAVAILABLE', message: 'its known answers were wrong' },
    };

    it('[CI-011] tells of one that is there and failed, and not of a backend without devices', async () => {
      const recorder = new Recorder(true);
      const manager = await VramManager.open(
        { workerId: 'w', policy: 'any', observers: [recorder] },
        platform([broken(), absent(), hostBackend()]),
      );
      expect(manager.status().device).toBe('host');
      expect(recorder.of('device.open_failed')).toMatchObject([failed]);
      await manager.close();
    });

    it('tells of each, and then that none could be opened', async () => {
      const recorder = new Recorder();
      const call = VramManager.open(
        { workerId: 'w', policy: 'any', observers: [recorder] },
        platform([broken(), absent()]),
      );
      expect(await failure(call)).toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
      expect(recorder.of('device.open_failed')).toMatchObject([failed, { requested: 'auto' }]);
    });

    it('[AU-005] does not open if that cannot be recorded, and gives back the device it had opened', async () => {
      const recorder = new Recorder(true);
      recorder.refuse = (event) => event.type === 'device.open_failed';
      let closed = 0;
      const host = hostBackend();
      const watched = overlay(host, {
        open: async () =>
          overlay(await host.open(0), {
            close: async () => {
              closed++;
            },
          }),
      });
      const call = VramManager.open(
        { workerId: 'w', policy: 'any', observers: [recorder] },
        platform([broken(), watched]),
      );
      expect(await failure(call)).toMatchObject({ code: 'AUDIT_FAILED' });
      expect(closed).toBe(1);
    });
  });

  it('mock mode opens the host alone, and never under vram-only', async () => {
    const mock = platform([hostBackend()], true);
    const manager = await VramManager.open({ workerId: 'w', policy: 'any' }, mock);
    expect(manager.status()).toMatchObject({ device: 'host', residency: 'host' });
    await manager.close();
    expect(await failure(VramManager.open({ workerId: 'w' }, mock))).toMatchObject({
      code: 'POLICY_VIOLATION',
    });
    expect(
      await failure(VramManager.open({ workerId: 'w', policy: 'any', device: 'cuda:0' }, mock)),
    ).toMatchObject({
      code: 'INVALID_INPUT',
    });
  });

  it('tells why a device could not be opened', async () => {
    const recorder = new Recorder();
    const call = VramManager.open({ device: 'cuda:0', workerId: 'w', observers: [recorder] }, platform());
    expect(await failure(call)).toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    expect(recorder.types()).toEqual(['operation.started', 'device.open_failed', 'operation.finished']);
  });

  it('[AU-005] does not open if a required observer fails, and gives back the device it had opened', async () => {
    for (const type of ['operation.started', 'device.opened', 'manager.opened']) {
      const recorder = new Recorder(true);
      recorder.refuse = (event) => event.type === type;
      const closed: string[] = [];
      const backend = hostBackend();
      const watched = overlay(backend, {
        open: async (index: number) => {
          const device = await backend.open(index);
          return overlay(device, {
            close: async () => {
              closed.push('device');
              await device.close();
            },
          });
        },
      });
      const call = VramManager.open(
        { device: 'host', workerId: 'w', policy: 'any', observers: [recorder] },
        platform([watched]),
      );
      expect(await failure(call)).toMatchObject({ code: 'AUDIT_FAILED' });
      expect(closed).toEqual(type === 'operation.started' ? [] : ['device']);
    }
  });

  it('an observer that is not required may fail as it likes', async () => {
    const recorder = new Recorder(false);
    recorder.refuse = () => true;
    const { manager } = await openHost({ recorder });
    await manager.verify(await manager.seal(bytesSource(pattern(5))));
    await manager.close();
  });

  it('[CI-006] zeroes the token and shows only its fingerprint', async () => {
    const given = token();
    const { manager } = await openHost({ options: { token: given } });
    expect(given.every((byte) => byte === 0)).toBe(true);
    // printf 'vram-residency/fp\0ZZ...Z' (32 times) | sha256sum
    expect(manager.status()).toMatchObject({
      key: 'token',
      keyFingerprint: expect.stringMatching(/^[0-9a-f]{6}$/),
    });
    await manager.close();
    const { manager: other } = await openHost();
    expect(other.status().key).toBe('ephemeral');
    await other.close();
  });

  it('[CI-005] managers opened concurrently with one token buffer have its key, not that of zeros', async () => {
    const given = token();
    const open = (slow: boolean): Promise<VramManager> => {
      const backend = hostBackend();
      const late = overlay(backend, {
        open: async (...args: Parameters<typeof backend.open>) => {
          const device = await backend.open(...args);
          // Until the other manager has derived its keys and zeroed the buffer.
          while (slow && given.some((byte) => byte !== 0))
            await new Promise((resolve) => setTimeout(resolve, 1));
          return device;
        },
      });
      return VramManager.open(
        { device: 'host', workerId: 'w', policy: 'any', token: given },
        platform([late]),
      );
    };
    const managers = await Promise.all([open(false), open(true)]);
    const prints = managers.map((manager) => manager.status().keyFingerprint);
    const alone = await VramManager.open(
      { device: 'host', workerId: 'w', policy: 'any', token: token() },
      platform(),
    );
    expect(prints).toEqual([alone.status().keyFingerprint, alone.status().keyFingerprint]);
    const [, late] = managers;
    const shard = await late?.seal(bytesSource(pattern(10)));
    expect(await failure(alone.verify(JSON.stringify(shard)))).toMatchObject({ code: 'NOT_FOUND' });
    for (const manager of [...managers, alone]) await manager.close();
  });

  it.each(['clock', 'engine'])('[WK-005] refuses a %s that is none', async (argument) => {
    const call = VramManager.open(
      { ...{ [argument]: {} }, device: 'host', workerId: 'w', policy: 'any' },
      platform(),
    );
    expect(await failure(call)).toMatchObject({ code: 'INVALID_INPUT', argument });
  });

  it('leaves the token to the caller if it does not open', async () => {
    const given = token();
    const call = VramManager.open({ device: 'host', workerId: 'w', token: given }, platform());
    expect(await failure(call)).toMatchObject({ code: 'POLICY_VIOLATION' });
    expect(given).toEqual(token());
  });

  it('[RP-001] a budget that cannot hold the verification scratch does not open', async () => {
    const call = VramManager.open(
      { device: 'host', workerId: 'w', policy: 'any', budgetBytes: 4096 },
      platform(),
    );
    expect(await failure(call)).toMatchObject({ code: 'INSUFFICIENT_VRAM', availableBytes: 4096 });
  });
});

describe('device loss', () => {
  it('[ST-003] voids every seal at once', async () => {
    let lose: (reason: string) => void = () => undefined;
    const lost = new Promise<string>((resolve) => {
      lose = resolve;
    });
    const { manager, recorder } = await openHost({ inject: { lost } });
    const shards = [
      await manager.seal(bytesSource(pattern(10))),
      await manager.seal(bytesSource(pattern(20))),
    ];
    lose('the bus fell off');
    await lost;
    await new Promise((resolve) => setTimeout(resolve, 0));
    for (const shard of shards)
      expect(await failure(manager.verify(shard))).toMatchObject({ code: 'DEVICE_LOST', scope: 'device' });
    expect(await failure(manager.seal(bytesSource(pattern(10))))).toMatchObject({ code: 'DEVICE_LOST' });
    expect(recorder.of('device.lost')).toMatchObject([{ shards: 2, reason: 'the bus fell off' }]);
    expect(manager.status().state).toBe('lost');
    for (const shard of shards)
      expect(await manager.release(shard)).toMatchObject({ released: true, wiped: false });
    await manager.close();
    expect(recorder.of('manager.closed')).toHaveLength(1);
  });
});

describe('[CI-006] [MS-001] [AU-006] nothing secret is ever shown', () => {
  it('no key, token, weight byte or address in handles, errors, events, JSON or inspection', async () => {
    const secret = Uint8Array.from({ length: 32 }, (_, index) => 0xc0 + index);
    const weights = new Uint8Array(9000).fill(0).map((_, index) => 0x61 + (index % 7));
    const seen = regionsOf();
    const recorder = new Recorder(true);
    const { manager } = await openHost({
      recorder,
      wrap: seen.wrap,
      options: { token: Uint8Array.from(secret) },
    });
    const shown: unknown[] = [manager];
    const shard = await manager.seal(bytesSource(weights), { shardId: 'a' });
    shown.push(shard, await manager.verify(shard), await manager.verify(shard, { mode: 'readback' }));
    await seen.flip(0, 4097, 3);
    const source = bytesSource(weights);
    for (const call of [
      manager.verify(shard, { source }),
      manager.verify({ ...shard.toJSON(), shardId: 'b' }),
      manager.seal(source, { shardId: 'a' }),
      manager.seal(source, { expected: `sha256:${'0'.repeat(64)}` }),
      manager.seal(source, { shardId: `${Buffer.from(secret).toString('hex')}/` }),
    ]) {
      shown.push(await failure(call));
    }
    shown.push(await manager.release(shard), manager.status(), await manager.capacity());
    await manager.close();
    shown.push(...recorder.events);
    const text = shown
      .map(
        (value) =>
          `${inspect(value, { depth: 12, showHidden: true, maxArrayLength: 1e5 })} ${JSON.stringify(value)}`,
      )
      .join('\n');
    expect(text.length).toBeGreaterThan(10_000);
    const bytes = Buffer.from(secret);
    for (const form of [
      bytes.toString('hex'),
      bytes.toString('base64'),
      bytes.toString('latin1'),
      bytes.join(','),
    ]) {
      expect(text).not.toContain(form.slice(0, 8));
    }
    expect(text).not.toContain('192, 193, 194');
    expect(text).not.toMatch(/abcdefg|97, 98, 99|97,98,99|616263/);
    expect(text).not.toMatch(/0x[0-9a-f]{6,}/i);
    expect(text).not.toMatch(/Uint8Array|ArrayBuffer|Buffer\(/);
  });
});

describe('system clock', () => {
  it('gives wall time, and monotonic time that does not run back', () => {
    expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(60_000);
    const first = systemClock.monotonic();
    expect(systemClock.monotonic()).toBeGreaterThanOrEqual(first);
  });
});

describe('options of operations', () => {
  it.each([
    ['options', null],
    ['options', 'text'],
    ['signal', { signal: {} }],
    ['onProgress', { onProgress: 5 }],
    ['correlationId', { correlationId: '' }],
  ])('refuses bad %s everywhere: %j', async (argument, options) => {
    const { manager } = await openHost();
    const source = bytesSource(pattern(5));
    const shard = await manager.seal(source);
    const given = JSON.parse(JSON.stringify(options));
    for (const call of [
      manager.seal(source, given),
      manager.verify(shard, given),
      manager.execute(shard, () => 0, given),
      manager.heal(shard, source, given),
      manager.release(shard, given),
      manager.capacity(given),
    ]) {
      expect(await failure(call)).toMatchObject({ code: 'INVALID_INPUT', argument });
    }
    await manager.release(shard);
    await manager.close();
  });
});
