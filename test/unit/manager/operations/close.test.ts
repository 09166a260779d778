import { describe, expect, it } from 'vitest';
import { hostBackend } from '../../../../src/device/host/index.js';
import { createPortableEngine } from '../../../../src/digest/index.js';
import { VramManager } from '../../../../src/manager/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, overlay, pattern, platform, Recorder } from '../fixture.js';

const bytes = pattern(10_000);

describe('close', () => {
  it('[MS-005] releases live shards, is safe twice, and refuses what comes after', async () => {
    const { manager, recorder, device } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(100)));
    await Promise.all([manager.close(), manager.close(), manager[Symbol.asyncDispose]()]);
    expect(device.stats().liveRegions).toBe(0);
    expect(recorder.of('manager.closed')).toMatchObject([{ shardsReleased: 1 }]);
    expect(recorder.of('vram.deallocated')).toMatchObject([
      { wiped: true, operation: 'close', shardId: shard.shardId },
    ]);
    expect(await failure(manager.seal(bytesSource(pattern(1))))).toMatchObject({ code: 'STOPPED' });
    expect(await failure(manager.capacity())).toMatchObject({ code: 'STOPPED' });
    expect(await failure(manager.verify(shard))).toMatchObject({ code: 'NOT_FOUND' });
    expect(await manager.release(shard)).toMatchObject({ released: false });
    expect(manager.status().state).toBe('closed');
  });

  it('does not close a device that it was handed', async () => {
    const { manager, device } = await openHost();
    await manager.close();
    const region = await device.allocate(5);
    await region.release();
    await device.close();
  });

  it('ends a seal that is under way, which gives back what it took', async () => {
    const { manager, device } = await openHost();
    const sealing = manager.seal({
      ...bytesSource(pattern(10)),
      async *stream() {
        yield pattern(5);
        closing = manager.close();
        yield pattern(5);
      },
    });
    let closing: Promise<void> = Promise.resolve();
    expect(await failure(sealing)).toMatchObject({ code: 'STOPPED' });
    await closing;
    expect(device.stats().liveRegions).toBe(0);
  });

  it('[MS-004] never rejects: not over memory that cannot be wiped, nor over observers', async () => {
    const recorder = new Recorder(true);
    let broken = false;
    const { manager } = await openHost({
      recorder,
      inject: {
        wipe: () => {
          if (broken) throw new Error('stuck');
        },
      },
    });
    await manager.seal(bytesSource(pattern(10)));
    broken = true;
    recorder.refuse = () => true;
    await manager.close();
    expect(manager.status()).toMatchObject({ state: 'closed', liveShards: 0, unrecordedReleases: 1 });
  });

  it('[MS-005] [RP-005] a release asked for while closing is done once, and told once', async () => {
    const { manager, recorder } = await openHost();
    const shards = [
      await manager.seal(bytesSource(pattern(10))),
      await manager.seal(bytesSource(pattern(20))),
    ];
    const closing = manager.close();
    await Promise.all([closing, ...shards.map((shard) => manager.release(shard))]);
    expect(recorder.of('vram.deallocated').map(({ shardId }) => shardId)).toEqual(
      expect.arrayContaining(shards.map(({ shardId }) => shardId)),
    );
    expect(recorder.of('vram.deallocated')).toHaveLength(2);
  });

  it('flushes and closes observers, in that order, after the last event', async () => {
    const calls: string[] = [];
    const manager = await VramManager.open(
      {
        device: 'host',
        workerId: 'w',
        policy: 'any',
        observers: [
          {
            name: 'log',
            required: true,
            on: ({ type }) => void calls.push(type),
            flush: async () => void calls.push('flush'),
            close: async () => void calls.push('close'),
          },
        ],
      },
      platform(),
    );
    await manager.close();
    expect(calls.slice(-4)).toEqual(['manager.closed', 'operation.finished', 'flush', 'close']);
  });

  it.each([
    ['the device', 'device'],
    ['the engine', 'engine'],
    ['an observer, while it is flushed', 'flush'],
    ['an observer, while it is closed', 'observer'],
  ])(
    '[MS-005] never rejects and closes the rest when %s throws an error of its own',
    async (_name, broken) => {
      const closed: string[] = [];
      const close = (name: string) => async (): Promise<void> => {
        closed.push(name);
        if (name === broken) throw new Error('not of this library');
      };
      const backend = hostBackend();
      const watched = overlay(backend, {
        open: async () => overlay(await backend.open(0), { close: close('device') }),
      });
      const manager = await VramManager.open(
        {
          device: 'host',
          workerId: 'w',
          policy: 'any',
          observers: [
            {
              name: 'log',
              required: true,
              on: () => undefined,
              flush: close('flush'),
              close: close('observer'),
            },
          ],
        },
        {
          ...platform([watched]),
          engine: () => overlay(createPortableEngine(), { close: close('engine') }),
        },
      );
      await manager.close();
      expect(closed).toEqual(['device', 'engine', 'flush', 'observer']);
    },
  );

  it('[MS-005] a device whose close throws before it gives a promise keeps nothing from being closed', async () => {
    let observerClosed = false;
    const backend = hostBackend();
    const watched = overlay(backend, {
      open: async () =>
        overlay(await backend.open(0), {
          close: () => {
            throw new Error('at once');
          },
        }),
    });
    const close = async (): Promise<void> => {
      observerClosed = true;
    };
    const manager = await VramManager.open(
      {
        device: 'host',
        workerId: 'w',
        policy: 'any',
        observers: [{ name: 'log', required: true, on: () => undefined, close }],
      },
      platform([watched]),
    );
    await manager.close();
    expect(observerClosed).toBe(true);
  });

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

describe('a manager', () => {
  it('is closed by being disposed of', async () => {
    const { manager } = await openHost();
    await manager[Symbol.asyncDispose]();
    expect(manager.status().state).toBe('closed');
  });
});
