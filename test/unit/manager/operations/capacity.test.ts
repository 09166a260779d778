import { describe, expect, it } from 'vitest';
import { Ledger } from '../../../../src/manager/state/ledger.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, overlay, pattern, regionsOf, TestClock } from '../fixture.js';

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

describe('[RP-004] too little memory says what would help', () => {
  it('for a shard', () => {
    const ledger = new Ledger(100, 40);
    expect(() => ledger.reserve(61, null)).toThrow(
      expect.objectContaining({
        code: 'INSUFFICIENT_VRAM',
        message:
          '61 bytes of device memory are needed, 60 are available; release other shards, raise budgetBytes or choose ' +
          'another device',
        neededBytes: 61,
        availableBytes: 60,
      }),
    );
    expect(ledger.reserve(60, null).bytes).toBe(60);
  });

  it('for the scratch of verification, which may take the whole budget and no more', () => {
    expect(() => new Ledger(39, 40)).toThrow(
      expect.objectContaining({
        code: 'INSUFFICIENT_VRAM',
        message:
          '40 bytes of device memory are needed, 39 are available for verification scratch; raise budgetBytes',
      }),
    );
    expect(new Ledger(40, 40).availableBytes(null)).toBe(0);
  });
});

describe('capacity and status', () => {
  it('[WK-003] says what there is and where the figures come from', async () => {
    const none = await openHost();
    expect(await none.manager.capacity()).toMatchObject({
      totalBytes: null,
      usedBytes: 0,
      availableBytes: null,
      source: 'none',
    });
    await none.manager.close();

    const host = { totalMemory: () => 2 ** 30, freeMemory: () => 2 ** 29 };
    const system = await openHost({ host });
    expect(await system.manager.capacity()).toMatchObject({
      totalBytes: 2 ** 30,
      availableBytes: 2 ** 29,
      source: 'system',
    });
    await system.manager.close();

    const budgeted = await openHost({ host, options: { budgetBytes: 2 ** 24 } });
    const shard = await budgeted.manager.seal(bytesSource(pattern(5000)));
    const capacity = await budgeted.manager.capacity();
    expect(capacity).toMatchObject({ totalBytes: 2 ** 24, usedBytes: 8192, source: 'budget' });
    expect(capacity.availableBytes).toBe(2 ** 24 - 8192 - capacity.scratchBytes);
    expect(capacity.scratchBytes).toBe(budgeted.device.stats().scratchBytes);
    expect(budgeted.recorder.of('capacity.queried')).toMatchObject([{ source: 'budget', usedBytes: 8192 }]);
    await budgeted.manager.release(shard);
    await budgeted.manager.close();
  });

  it('[WK-003] figures that are a moment apart never add up to more than there is', async () => {
    // As if the device had been asked before the shard was allocated.
    const host = { totalMemory: () => 2 ** 30, freeMemory: () => 2 ** 30 };
    const { manager } = await openHost({ host });
    await manager.seal(bytesSource(pattern(5000)));
    const { totalBytes, usedBytes, availableBytes } = await manager.capacity();
    expect(usedBytes + (availableBytes ?? 0)).toBeLessThanOrEqual(totalBytes ?? 0);
    await manager.close();
  });

  it('[VP-004] [RP-004] too little memory fails at once with both figures', async () => {
    const { manager, device, recorder } = await openHost({ options: { budgetBytes: 2 ** 23 } });
    const uploaded = device.stats().uploadedBytes;
    const error = await failure(manager.seal(bytesSource(new Uint8Array(2 ** 23))));
    const { scratchBytes } = device.stats();
    expect(error).toMatchObject({
      code: 'INSUFFICIENT_VRAM',
      kind: 'retriable',
      neededBytes: 2 ** 23,
      availableBytes: 2 ** 23 - scratchBytes,
    });
    expect(device.stats().uploadedBytes).toBe(uploaded);
    expect(recorder.of('vram.allocation_failed')).toMatchObject([{ requestedBytes: 2 ** 23, usedBytes: 0 }]);
    await manager.close();
  });

  it('[VP-007] the policy in force can be asked for', async () => {
    const { manager } = await openHost();
    expect(manager.status()).toEqual({
      state: 'open',
      workerId: 'worker-1',
      device: 'host',
      deviceName: 'system memory',
      passedOver: [],
      residency: 'host',
      residencyReason: expect.stringContaining('host memory'),
      policy: 'any',
      policyAccepts: ['device-local', 'unified', 'unproven', 'host'],
      key: 'ephemeral',
      keyFingerprint: expect.stringMatching(/^[0-9a-f]{6}$/),
      liveShards: 0,
      orphanedBytes: 0,
      quarantined: [],
      unrecordedReleases: 0,
      abandonedCalls: { total: 0, settled: 0 },
      closeFailures: 0,
    });
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
