import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import { hostBackend } from '../../../../src/device/host/index.js';
import type { Device } from '../../../../src/device/index.js';
import { VramManager } from '../../../../src/manager/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, overlay, pattern, platform, Recorder, TestClock } from '../fixture.js';

const bytes = pattern(10_000);

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
    // What is not an error of this library is thrown as it came.
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
