import { describe, expect, it } from 'vitest';
import { VramError } from '../../src/base/errors.js';
import { hostBackend } from '../../src/device/host/index.js';
import type { Device } from '../../src/device/index.js';
import { VramManager } from '../../src/manager/index.js';
import { bytesSource } from '../../src/source/index.js';
import {
  failure,
  openHost,
  overlay,
  pattern,
  platform,
  Recorder,
  regionsOf,
  TestClock,
  wrapRegions,
} from './manager-fixture.js';

const bytes = pattern(10_000);
const CONTEXT = {
  at: '2026-01-02T03:04:05.678Z',
  monotonicMs: 1000,
  workerId: 'worker-1',
  correlationId: 'c',
  traceparent: null,
  device: { id: 'host', name: 'system memory', uuid: null, residency: 'host', emulated: false },
  shardId: null,
  modelRef: null,
  durationMs: null,
};

/** What `work` left rejected and unhandled. The runner, which would fail the run for it, is not told. */
async function unhandledRejections(work: () => Promise<void>): Promise<unknown[]> {
  const seen: unknown[] = [];
  const others = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', (reason) => seen.push(reason));
  try {
    await work();
  } finally {
    process.removeAllListeners('unhandledRejection');
    for (const other of others) process.on('unhandledRejection', other);
  }
  return seen;
}

describe('a manager', () => {
  it('is closed by being disposed of', async () => {
    const { manager } = await openHost();
    await manager[Symbol.asyncDispose]();
    expect(manager.status().state).toBe('closed');
  });
});

describe('what is told', () => {
  it('of an allocation has the time that it took', async () => {
    const clock = new TestClock();
    const { manager, recorder } = await openHost({
      options: { clock },
      wrap: (device) =>
        overlay(device, {
          allocate: async (byteLength: number) => {
            clock.turn(11);
            return await device.allocate(byteLength);
          },
        }),
    });
    await manager.seal(bytesSource(bytes));
    expect(recorder.of('vram.allocated')).toMatchObject([{ durationMs: 11 }]);
    await manager.close();
  });

  it('of bytes that are as sealed is exact, in every mode', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    for (const mode of ['resident', 'sampled', 'readback'] as const) {
      expect(await manager.verify(shard, mode === 'sampled' ? { mode, groups: 1 } : { mode })).toMatchObject({
        mode,
        verified: mode !== 'sampled',
        sampled: mode === 'sampled',
        exact: true,
        damaged: [],
      });
    }
    await manager.close();
  });
});

describe('sets', () => {
  const seal = (manager: VramManager, shardIndex: number, totalShards = 3) =>
    manager.seal(bytesSource(pattern(5000, shardIndex)), {
      shardId: `s${shardIndex}`,
      modelRef: 'm',
      shardIndex,
      totalShards,
    });

  it('know their size from whichever shard tells it, and are not verified if one of them is damaged', async () => {
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap });
    await manager.seal(bytesSource(pattern(5000)), { shardId: 'alone', modelRef: 'm' });
    for (const shardIndex of [0, 1]) await seal(manager, shardIndex, 2);
    expect(await manager.verifySet('m')).toMatchObject({ verified: true, totalShards: 2, missing: [] });
    await seen.flip(2, 0, 1);
    expect(await failure(manager.verifySet('m'))).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      report: { verified: false, totalShards: 2, missing: [] },
    });
    await manager.close();
  });

  it('that are not whole say what is missing, and report all of it', async () => {
    const { manager } = await openHost();
    const none = await failure(manager.verifySet('m'));
    expect(none).toMatchObject({
      code: 'NOT_FOUND',
      message: 'the set "m" is not whole: no shard of it is live',
    });
    expect(none.report).toEqual({
      modelRef: 'm',
      verified: false,
      sampled: false,
      totalShards: null,
      missing: [],
      shards: [],
    });
    await seal(manager, 1);
    const some = await failure(manager.verifySet('m'));
    expect(some).toMatchObject({
      code: 'NOT_FOUND',
      message: 'the set "m" is not whole: shards 0, 2 of 3 are missing',
    });
    expect(some.report).toEqual({
      modelRef: 'm',
      verified: false,
      sampled: false,
      totalShards: 3,
      missing: [0, 2],
      shards: [
        {
          shardId: 's1',
          shardIndex: 1,
          error: null,
          report: expect.objectContaining({ verified: true, shardId: 's1' }),
        },
      ],
    });
    expect(Object.isFrozen(some.report)).toBe(true);
    await manager.close();
  });

  it('of one shard that is in no set are whole', async () => {
    const { manager } = await openHost();
    await manager.seal(bytesSource(bytes), { shardId: 'a', modelRef: 'm' });
    await manager.seal(bytesSource(bytes), { shardId: 'b', modelRef: 'other' });
    await manager.seal(bytesSource(bytes), { shardId: 'c' });
    expect(await manager.verifySet('m')).toEqual({
      modelRef: 'm',
      verified: true,
      sampled: false,
      totalShards: null,
      missing: [],
      shards: [{ shardId: 'a', shardIndex: null, error: null, report: expect.objectContaining({}) }],
    });
    await manager.close();
  });

  it('with a damaged member name it before what is missing', async () => {
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap });
    await seal(manager, 0);
    await seal(manager, 1);
    await seen.flip(1, 0, 1);
    const error = await failure(manager.verifySet('m'));
    expect(error).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      message: `shard "s1" of "m": the resident bytes of shard "s1" are damaged: 1 group of 512 KiB; heal it from its source or release it`,
      cause: { code: 'INTEGRITY_VIOLATION' },
      report: {
        verified: false,
        totalShards: 3,
        missing: [2],
        shards: [
          { shardId: 's0', error: null },
          { shardId: 's1', shardIndex: 1, report: null, error: { code: 'INTEGRITY_VIOLATION' } },
        ],
      },
    });
    await manager.close();
  });

  it("end at once with the caller's own error, or when the caller gives up", async () => {
    const { manager, recorder } = await openHost();
    await seal(manager, 0);
    await seal(manager, 1);
    const own = new Error('mine');
    const thrown = await failure(
      manager.verifySet('m', {
        onProgress: () => {
          throw own;
        },
      }),
    );
    expect(thrown).toBe(own);
    expect(recorder.of('seal.verified')).toEqual([]);
    const aborting = new AbortController();
    const given = manager.verifySet('m', {
      signal: aborting.signal,
      onProgress: () => aborting.abort('enough'),
    });
    expect(await failure(given)).toMatchObject({ code: 'ABORTED', cause: 'enough' });
    // They are verified together: what had been found by then is on record.
    expect(recorder.of('seal.verified').map(({ shardId }) => shardId)).toEqual(['s0', 's1']);
    await manager.close();
  });
});

describe('status', () => {
  it('lists what is in quarantine, and counts live shards', async () => {
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap });
    const shards = [];
    for (const shardId of ['a', 'b', 'c']) {
      shards.push(await manager.seal(bytesSource(bytes), { shardId }));
    }
    await seen.flip(1, 0, 1);
    await failure(manager.verify(shards[1] ?? ''));
    expect(manager.status()).toMatchObject({ liveShards: 3, quarantined: ['b'], state: 'open' });
    expect(Object.isFrozen(manager.status())).toBe(true);
    await manager.release(shards[1] ?? '');
    expect(manager.status()).toMatchObject({ liveShards: 2, quarantined: [] });
    expect(manager.device).toMatchObject({ backend: 'host', name: 'system memory' });
    await manager.close();
  });
});

describe('[WK-003] capacity', () => {
  const over = async (totalBytes: number | null, freeBytes: number | null, budgetBytes?: number) => {
    const set = await openHost({
      options: budgetBytes === undefined ? {} : { budgetBytes },
      wrap: (device) =>
        overlay(device, { capacity: async () => ({ totalBytes, freeBytes, source: 'driver' }) }),
    });
    await set.manager.seal(bytesSource(bytes));
    const capacity = await set.manager.capacity();
    await set.manager.close();
    return capacity;
  };
  const used = 12_288;

  it.each([
    ['unknown', null, null, undefined, { totalBytes: null, availableBytes: null, source: 'driver' }],
    [
      'known',
      2 ** 30,
      2 ** 29,
      undefined,
      { totalBytes: 2 ** 30, availableBytes: 2 ** 29, source: 'driver' },
    ],
    [
      'told a moment late',
      2 ** 30,
      2 ** 30,
      undefined,
      { totalBytes: 2 ** 30, availableBytes: 2 ** 30 - used, source: 'driver' },
    ],
    [
      'more than the budget',
      2 ** 30,
      2 ** 30,
      2 ** 24,
      { totalBytes: 2 ** 24, availableBytes: 2 ** 24 - used, source: 'budget' },
    ],
    [
      'as much as the budget',
      2 ** 24,
      2 ** 23,
      2 ** 24,
      { totalBytes: 2 ** 24, availableBytes: 2 ** 23, source: 'driver' },
    ],
    [
      'less than the budget',
      2 ** 24,
      2 ** 23,
      2 ** 30,
      { totalBytes: 2 ** 24, availableBytes: 2 ** 23, source: 'driver' },
    ],
    [
      'unknown, under a budget',
      null,
      null,
      2 ** 24,
      { totalBytes: 2 ** 24, availableBytes: 2 ** 24 - used, source: 'budget' },
    ],
  ] as const)(
    'of a device whose memory is %s',
    async (_name, totalBytes, freeBytes, budgetBytes, expected) => {
      const { scratchBytes, ...capacity } = await over(totalBytes, freeBytes, budgetBytes);
      const scratch = expected.source === 'budget' ? scratchBytes : 0;
      const availableBytes = expected.availableBytes === null ? null : expected.availableBytes - scratch;
      expect(capacity).toEqual({ ...expected, availableBytes, usedBytes: used });
      expect(scratchBytes).toBeGreaterThan(0);
    },
  );

  it('of a device that does not tell its free memory is what the budget leaves, as the allocation says', async () => {
    const { manager, recorder } = await openHost({
      options: { budgetBytes: 2 ** 24 },
      wrap: (device) =>
        overlay(device, { capacity: async () => ({ totalBytes: null, freeBytes: null, source: 'driver' }) }),
    });
    await manager.seal(bytesSource(bytes));
    const { availableBytes } = await manager.capacity();
    expect(availableBytes).toBeGreaterThan(0);
    expect(recorder.of('vram.allocated')).toMatchObject([{ usedBytes: used, availableBytes }]);
    await manager.close();
  });

  it('of a device that says that it has less than was taken of it is nothing', async () => {
    let totalBytes = 2 ** 30;
    const { manager } = await openHost({
      wrap: (device) =>
        overlay(device, { capacity: async () => ({ totalBytes, freeBytes: 2 ** 30, source: 'driver' }) }),
    });
    await manager.seal(bytesSource(bytes));
    totalBytes = 1000;
    expect(await manager.capacity()).toMatchObject({ totalBytes: 1000, usedBytes: used, availableBytes: 0 });
    await manager.close();
  });

  it('[AU-001] is told whole', async () => {
    const clock = new TestClock();
    const { manager, recorder } = await openHost({
      wrap: (device) =>
        overlay(device, {
          capacity: async () => {
            clock.turn(3);
            return { totalBytes: 100_000_000, freeBytes: 50_000_000, source: 'driver' };
          },
        }),
      options: { clock },
    });
    recorder.events.length = 0;
    clock.monotonicMs = 1000;
    const told = { ...CONTEXT, operation: 'capacity', operationId: 'capacity-2' };
    clock.wallMs = Date.UTC(2027, 0, 1);
    const at = '2027-01-01T00:00:00.000Z';
    const later = { ...told, at: '2027-01-01T00:00:00.003Z', monotonicMs: 1003 };
    const capacity = await manager.capacity({ correlationId: 'c' });
    expect(Object.isFrozen(capacity)).toBe(true);
    expect(recorder.events).toEqual([
      { ...told, at, type: 'operation.started' },
      {
        ...later,
        type: 'capacity.queried',
        durationMs: 3,
        totalBytes: 100_000_000,
        usedBytes: 0,
        availableBytes: 50_000_000,
        source: 'driver',
      },
      { ...later, type: 'operation.finished', durationMs: 3, ok: true, error: null },
    ]);
    await manager.close();
  });
});

describe('allocations', () => {
  const memory = { totalMemory: () => 2 ** 30, freeMemory: () => 2 ** 20 };

  it('[AU-001] are told with what is left after them, and what was freed with what is in use', async () => {
    const { manager, recorder } = await openHost({ host: memory, options: { budgetBytes: 2 ** 28 } });
    const { scratchBytes } = await manager.capacity();
    const kept = await manager.seal(bytesSource(bytes));
    const shard = await manager.seal(bytesSource(pattern(5000)));
    expect(recorder.of('vram.allocated')).toMatchObject([
      { requestedBytes: 12_288, allocatedBytes: 12_288, usedBytes: 12_288, availableBytes: 2 ** 20 - 12_288 },
      { requestedBytes: 8192, allocatedBytes: 8192, usedBytes: 20_480, availableBytes: 2 ** 20 - 8192 },
    ]);
    await manager.release(shard);
    expect(recorder.of('vram.deallocated')).toMatchObject([
      {
        freedBytes: 8192,
        usedBytes: 12_288,
        availableBytes: 2 ** 28 - 12_288 - scratchBytes,
        wiped: true,
        error: null,
        durationMs: 0,
        shardId: shard.shardId,
      },
    ]);
    await manager.release(kept);
    await manager.close();
  });

  it('that fail are told with what there was, and how long it took', async () => {
    const clock = new TestClock();
    let freeMemory = 2 ** 20;
    const { manager, recorder } = await openHost({
      host: { ...memory, freeMemory: () => freeMemory },
      options: { clock },
      wrap: (device) =>
        overlay(device, {
          capacity: async () => {
            clock.turn(9);
            return await device.capacity();
          },
        }),
    });
    freeMemory = 8000;
    const error = await failure(manager.seal(bytesSource(bytes)));
    expect(error).toMatchObject({ code: 'INSUFFICIENT_VRAM', neededBytes: 12_288, availableBytes: 8000 });
    expect(recorder.of('vram.allocation_failed')).toMatchObject([
      {
        requestedBytes: 12_288,
        usedBytes: 0,
        availableBytes: 8000,
        durationMs: 9,
        error: { code: 'INSUFFICIENT_VRAM', message: error.message },
      },
    ]);
    await manager.close();
  });

  it('[AU-005] whose failure cannot be recorded keep every figure of the failure', async () => {
    const recorder = new Recorder(true);
    const cause = new Error('CUDA_ERROR_OUT_OF_MEMORY');
    let thrown: unknown;
    const { manager } = await openHost({
      recorder,
      wrap: (device) =>
        overlay(device, {
          allocate: async () => {
            throw thrown;
          },
        }),
    });
    recorder.refuse = ({ type }) => type === 'vram.allocation_failed';
    const report = {
      modelRef: 'm',
      verified: false,
      sampled: false,
      totalShards: null,
      missing: [],
      shards: [],
    };
    const details = { neededBytes: 7, availableBytes: 5, argument: 'x', report };
    thrown = new VramError('ALLOCATION_FAILED', 'no', { ...details, cause });
    const error = await failure(manager.seal(bytesSource(bytes)));
    expect(error).toMatchObject({ code: 'ALLOCATION_FAILED', message: 'no', ...details });
    expect(error.cause).toBeInstanceOf(AggregateError);
    expect(error.cause).toMatchObject({
      message: 'the required observer "recorder" failed',
      errors: [{ code: 'AUDIT_FAILED' }, cause],
    });
    // What is no error of this library is thrown as it came.
    thrown = new RangeError('foreign');
    expect(await failure(manager.seal(bytesSource(bytes)))).toBe(thrown);
    await manager.close();
  });

  it('[VP-007] are refused once the policy no longer accepts the device, and that is told', async () => {
    for (const heard of [true, false]) {
      const recorder = new Recorder(true);
      let driverOverride = false;
      const facts = {
        backend: 'cuda',
        execution: 'hardware',
        integrated: false,
        memoryType: 'device',
        fallbackAdapter: null,
        pageable: false,
        computeCapability: { major: 9, minor: 0 },
        totalBytes: 2 ** 34,
        driverFile: '/usr/lib64/libcuda.so.550.54.14',
        driverDoubt: null,
        kernelsReplaced: false,
      } as const;
      const backend = await hostBackend().open(0);
      const device: Device = new Proxy(backend, {
        get: (target, key) => {
          if (key === 'info') return { ...target.info, facts: { ...facts, driverOverride } };
          const value: unknown = Reflect.get(target, key, target);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
      const manager = await VramManager.open({ device, workerId: 'w', observers: [recorder] }, platform());
      await manager.seal(bytesSource(bytes));
      driverOverride = true;
      if (!heard) recorder.refuse = ({ type }) => type === 'policy.violation';
      const error = await failure(manager.seal(bytesSource(bytes)));
      const why = 'mock mode is forced or the driver path is overridden, which vram-only never allows';
      expect(error).toMatchObject({
        code: 'POLICY_VIOLATION',
        message: `policy "vram-only" does not accept residency class "device-local": ${why}; remove the override`,
      });
      expect(error.cause).toEqual(heard ? undefined : expect.objectContaining({ code: 'AUDIT_FAILED' }));
      expect(recorder.of('policy.violation')).toMatchObject(
        heard ? [{ policy: 'vram-only', residency: 'device-local', violation: why, action: 'refused' }] : [],
      );
      expect(backend.stats().liveRegions).toBe(1);
      await manager.close();
    }
  });
});

describe('the end of a device', () => {
  it('[ST-003] that its owner closes is a loss, told whole; leases end with it', async () => {
    const { manager, recorder, device } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const leased = await failure(
      manager.execute(shard, async (lease) => {
        recorder.events.length = 0;
        void device.close();
        await new Promise((resolve) => setTimeout(resolve, 5));
        expect(lease.signal.reason).toMatchObject({ code: 'DEVICE_LOST' });
      }),
    );
    expect(leased).toMatchObject({
      code: 'DEVICE_LOST',
      message: 'the device is lost: the device was closed',
    });
    expect(manager.status().state).toBe('lost');
    expect(recorder.events.filter(({ operation }) => operation === 'stop')).toMatchObject([
      { type: 'operation.started' },
      { type: 'device.lost', reason: 'the device was closed', shards: 1, shardId: null, durationMs: null },
      { type: 'operation.finished', ok: true },
    ]);
    await manager.close();
  });

  it('[ST-003] is in force although nobody could be told of it', async () => {
    const recorder = new Recorder(true);
    const { manager, device } = await openHost({ recorder });
    const shard = await manager.seal(bytesSource(bytes));
    recorder.refuse = ({ operation }) => operation === 'stop';
    const unhandled = await unhandledRejections(async () => {
      await device.close();
      await new Promise((resolve) => setTimeout(resolve, 5));
    });
    expect(unhandled).toEqual([]);
    expect(recorder.of('device.lost')).toEqual([]);
    expect(manager.status().state).toBe('lost');
    expect(await failure(manager.verify(shard))).toMatchObject({ code: 'DEVICE_LOST' });
    await manager.close();
  });

  it('[ST-003] that cannot even be dated is in force, and the fault of the clock is not hidden', async () => {
    const clock = new TestClock();
    const { manager, device } = await openHost({ options: { clock } });
    const fault = new Error('the clock stopped');
    const unhandled = await unhandledRejections(async () => {
      clock.now = () => {
        throw fault;
      };
      await device.close();
      await new Promise((resolve) => setTimeout(resolve, 5));
    });
    expect(unhandled).toEqual([fault]);
    expect(manager.status().state).toBe('lost');
    clock.now = () => 0;
    await manager.close();
  });

  it("after the manager closed is nobody's loss", async () => {
    const { manager, recorder, device } = await openHost();
    await manager.close();
    await device.close();
    await new Promise((resolve) => setTimeout(resolve, 3));
    expect(recorder.of('device.lost')).toEqual([]);
    expect(manager.status().state).toBe('closed');
  });
});

describe('close', () => {
  it('[AU-001] tells of each shard that it releases, and then how many', async () => {
    const { manager, recorder } = await openHost();
    await manager.seal(bytesSource(bytes), { shardId: 'a' });
    await manager.seal(bytesSource(bytes), { shardId: 'b' });
    recorder.events.length = 0;
    await manager.close();
    expect(recorder.events.map(({ type, operation, shardId }) => [operation, type, shardId])).toEqual([
      ['close', 'operation.started', null],
      ['close', 'vram.deallocated', 'a'],
      ['close', 'vram.deallocated', 'b'],
      ['close', 'manager.closed', 'b'],
      ['close', 'operation.finished', 'b'],
    ]);
    expect(recorder.of('manager.closed')).toMatchObject([{ shardsReleased: 2, durationMs: 0 }]);
    expect(recorder.of('vram.deallocated').map(({ usedBytes }) => usedBytes)).toEqual([12_288, 0]);
  });

  it('ends running leases with words, and waits for what runs', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    let closing: Promise<void> = Promise.resolve();
    const order: string[] = [];
    const leased = failure(
      manager.execute(shard, async (lease) => {
        closing = manager.close().then(() => void order.push('closed'));
        expect(lease.signal.reason).toMatchObject({ code: 'STOPPED', message: 'the manager is closed' });
        await new Promise((resolve) => setTimeout(resolve, 5));
        order.push('ran');
      }),
    );
    expect(await leased).toMatchObject({ code: 'STOPPED' });
    await closing;
    expect(order).toEqual(['ran', 'closed']);
  });
});

describe('looks', () => {
  it('tell and report what they do: in place, by readback, by sample', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const looks: unknown[] = [];
    for (const options of [{}, { mode: 'readback' }, { mode: 'sampled', groups: 5 }] as const) {
      recorder.events.length = 0;
      const progress: unknown[] = [];
      const report = await manager.verify(shard, { ...options, onProgress: (one) => progress.push(one) });
      const stages = recorder.of('operation.stage').map(({ stage, byteLength }) => [stage, byteLength]);
      looks.push([report.mode, report.actual === shard.fsverity, report.sample, progress, stages]);
    }
    const whole = { bytes: 10_000, totalBytes: 10_000 };
    const sample = { groups: 1, totalGroups: 1, chanceOfMiss: [{ damagedGroups: 1, chance: 0 }] };
    expect(looks).toEqual([
      ['resident', true, null, [{ phase: 'verify', ...whole }], [['device-tree', 10_000]]],
      ['readback', true, null, [{ phase: 'readback', ...whole }], [['readback', 10_000]]],
      ['sampled', false, sample, [{ phase: 'verify', ...whole }], [['device-tree', null]]],
    ]);
    await manager.close();
  });

  it('by sample are told how many, and by other modes are not', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    for (const [options, message] of [
      [{ groups: 1 }, '"groups" is for mode "sampled" alone'],
      [{ groups: 1, mode: 'readback' }, '"groups" is for mode "sampled" alone'],
      [{ mode: 'sampled' }, '"groups" must be an integer of at least 1, got undefined'],
      [{ mode: 'sampled', groups: 0 }, '"groups" must be an integer of at least 1, got 0'],
      [{ mode: 'fast' }, '"mode" must be one of resident, readback, sampled, got string'],
    ] as const) {
      const given = JSON.parse(JSON.stringify(options));
      expect(await failure(manager.verify(shard, given))).toMatchObject({ code: 'INVALID_INPUT', message });
    }
    await manager.close();
  });

  it('[CI-010] by sample that differ once are looked at again: transient, not damaged', async () => {
    let lies = 0;
    const { manager } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            nodes: async (...args: Parameters<typeof region.nodes>) => {
              const nodes = await region.nodes(...args);
              if (lies-- > 0) nodes[0] = (nodes[0] ?? 0) ^ 1;
              return nodes;
            },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(bytes));
    lies = 1;
    const options = { mode: 'sampled', groups: 1 } as const;
    expect(await failure(manager.verify(shard, options))).toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      report: { transient: true, verified: false, actual: null, mode: 'sampled' },
    });
    expect(manager.status().quarantined).toEqual([]);
    lies = 2;
    expect(await failure(manager.verify(shard, options))).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      report: { transient: false, verified: false, actual: null },
    });
    await manager.close();
  });
});
