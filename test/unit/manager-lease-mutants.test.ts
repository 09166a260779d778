import { describe, expect, it } from 'vitest';
import { VramError } from '../../src/base/errors.js';
import type { CudaBinding, Region, WebGpuBinding } from '../../src/device/index.js';
import type { HostLease, Lease } from '../../src/manager/index.js';
import { openLease } from '../../src/manager/operations/lease.js';
import { Lifecycle } from '../../src/manager/state/lifecycle.js';
import { ShardLock } from '../../src/manager/state/shard-lock.js';
import { withSignals } from '../../src/manager/state/signals.js';
import { sleep } from '../../src/manager/state/sleep.js';
import type { SealedShard } from '../../src/seal/index.js';
import { bytesSource } from '../../src/source/index.js';
import { failure, openHost, overlay, pattern, Recorder, regionsOf, wrapRegions } from './manager-fixture.js';

const bytes = pattern(10_000);
const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 3));

function host(lease: Lease): HostLease {
  if (lease.kind !== 'host') throw new Error('no host lease');
  return lease;
}

/** A lease over a binding that is not of this machine. */
function leaseOver(
  binding: Partial<WebGpuBinding> | Partial<CudaBinding>,
  signal = new AbortController().signal,
) {
  const region = { view: () => binding } as unknown as Region;
  return openLease(
    { sealed: { byteLength: 100, manifest: null } as SealedShard, region, cuts: null },
    { byteOffset: 40, byteLength: 50 },
    signal,
  );
}

describe('a lease', () => {
  it('that has ended says where shards may be used', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const kept = await manager.execute(shard, (lease) => lease);
    expect(await failure(host(kept).read(0, 1))).toMatchObject({
      code: 'NOT_FOUND',
      message: 'this lease has ended: use a shard only inside the callback of execute()',
    });
    await manager.close();
  });

  it('of the host has a shard, its length, a signal and copies of its bytes, and nothing else', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    await manager.execute(shard, async (lease) => {
      expect(Object.keys(lease).sort()).toEqual([
        'buffer',
        'byteLength',
        'kind',
        'read',
        'report',
        'shard',
        'signal',
      ]);
      expect([lease.kind, lease.byteLength, lease.shard]).toEqual(['host', 10_000, shard]);
      expect(lease.signal.aborted).toBe(false);
      expect(lease.report).toMatchObject({ verified: true, sealId: shard.sealId, mode: 'resident' });
      expect(await host(lease).read(9999, 1)).toEqual(bytes.slice(9999));
    });
    await manager.execute(shard, ({ report }) => expect(report).toBeNull(), { maxAgeMs: 60_000 });
    await manager.close();
  });

  it("of WebGPU has the device and the layout of the region's binding", () => {
    const device = {};
    const layout = {};
    const { lease } = leaseOver({ kind: 'webgpu', device, layout } as Partial<WebGpuBinding>);
    expect(Object.keys(lease).sort()).toEqual([
      'bindings',
      'buffer',
      'byteLength',
      'device',
      'kind',
      'layout',
      'report',
      'shard',
      'signal',
    ]);
    if (lease.kind !== 'webgpu') throw new Error('no WebGPU lease');
    expect(lease.device).toBe(device);
    expect(lease.layout).toBe(layout);
    expect([lease.byteLength, lease.shard]).toEqual([50, { byteLength: 100, manifest: null }]);
  });

  it('of WebGPU gives tensors where they lie in it, and refuses others with the borders', () => {
    const asked: unknown[] = [];
    const { lease } = leaseOver({
      kind: 'webgpu',
      bindings: (range: unknown) => {
        asked.push(range);
        return [];
      },
    } as unknown as Partial<WebGpuBinding>);
    if (lease.kind !== 'webgpu') throw new Error('no WebGPU lease');
    lease.bindings({ byteOffset: 40, byteLength: 50 });
    lease.bindings({ byteOffset: 89, byteLength: 1 });
    expect(asked).toEqual([
      { offset: 0, length: 50 },
      { offset: 49, length: 1 },
    ]);
    for (const [byteOffset, byteLength, message] of [
      [39, 1, '"tensor.byteOffset" must be an integer from 40 to 90, got 39'],
      [91, 1, '"tensor.byteOffset" must be an integer from 40 to 90, got 91'],
      [41, 50, '"tensor.byteLength" must be an integer from 1 to 49, got 50'],
      [90, 1, '"tensor.byteLength" must be an integer from 1 to 0, got 1'],
    ] as const) {
      expect(() => lease.bindings({ byteOffset, byteLength })).toThrow(message);
    }
    for (const range of ['null', '5']) {
      expect(() => lease.bindings(JSON.parse(range))).toThrow(
        '"range" must be a range of the lease or a tensor of its shard',
      );
    }
    expect(asked).toHaveLength(2);
  });

  it("whose caller's signal fired is ABORTED, one that was revoked says why", async () => {
    const launches: unknown[] = [];
    const cuda: Partial<CudaBinding> = { kind: 'cuda', launch: async (launch) => void launches.push(launch) };
    const launch = { module: '', entry: 'k', grid: [1, 1, 1], block: [1, 1, 1], args: [] } as const;
    const aborting = new AbortController();
    const { lease } = leaseOver(cuda, aborting.signal);
    if (lease.kind !== 'cuda') throw new Error('no CUDA lease');
    await lease.launch(launch);
    aborting.abort('enough');
    expect(await failure(lease.launch(launch))).toMatchObject({ code: 'ABORTED', cause: 'enough' });
    const revoked = new VramError('INTEGRITY_VIOLATION', 'damaged');
    const { lease: other } = leaseOver(cuda, AbortSignal.abort(revoked));
    if (other.kind !== 'cuda') throw new Error('no CUDA lease');
    expect(await failure(other.launch(launch))).toBe(revoked);
    expect(launches).toEqual([launch]);
  });

  it('is checked before any verification, with words', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const looks = recorder.of('operation.stage').length;
    for (const [tensor, message] of [
      [null, '"tensor" must be an entry of a tensor index'],
      [5, '"tensor" must be an entry of a tensor index'],
      [
        { byteOffset: 10_001, byteLength: 1 },
        '"tensor.byteOffset" must be an integer from 0 to 10000, got 10001',
      ],
      [
        { byteOffset: 9_000, byteLength: 1001 },
        '"tensor.byteLength" must be an integer from 1 to 1000, got 1001',
      ],
      [{ byteOffset: 0, byteLength: 0 }, '"tensor.byteLength" must be an integer from 1 to 10000, got 0'],
    ]) {
      const options = JSON.parse(JSON.stringify({ tensor }));
      expect(await failure(manager.execute(shard, () => 0, options))).toMatchObject({
        code: 'INVALID_INPUT',
        message,
      });
    }
    expect(recorder.of('operation.stage')).toHaveLength(looks);
    for (const tensor of [
      { byteOffset: 0, byteLength: 10_000 },
      { byteOffset: 9999, byteLength: 1 },
    ]) {
      expect(await manager.execute(shard, ({ byteLength }) => byteLength, { tensor })).toBe(
        tensor.byteLength,
      );
    }
    await manager.close();
  });
});

describe('execute', () => {
  it.each<[string, object]>([
    ['"maxAgeMs" must be a finite number of milliseconds, at least 0', { maxAgeMs: -1 }],
    ['"maxAgeMs" must be a finite number of milliseconds, at least 0', { maxAgeMs: Number.NaN }],
    ['"maxAgeMs" must be a finite number of milliseconds, at least 0', { maxAgeMs: '5' }],
    ['"recheck" must be true or false', { recheck: 1 }],
  ])('refuses with words: %s', async (message, options) => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    expect(await failure(manager.execute(shard, () => 0, options))).toMatchObject({
      code: 'INVALID_INPUT',
      message,
    });
    expect(await failure(manager.execute(shard, JSON.parse('5')))).toMatchObject({
      message: '"run" must be a function that takes a lease',
    });
    expect(await manager.execute(shard, () => 3, { maxAgeMs: 0, recheck: false })).toBe(3);
    await manager.close();
  });

  it('[AU-001] tells each step whole, with the time it took', async () => {
    const { manager, recorder, clock } = await openHost();
    const shard = await manager.seal(bytesSource(bytes), { shardId: 'a' });
    recorder.events.length = 0;
    clock.monotonicMs = 1000;
    const execute = (run: () => unknown, options = {}): Promise<unknown> =>
      manager.execute(shard, run, { tensor: { byteOffset: 8, byteLength: 16 }, ...options });
    await execute(() => clock.turn(30));
    const { sealId } = shard;
    const shapes = recorder.events.map(({ type, durationMs, monotonicMs, shardId }) => ({
      type,
      durationMs,
      monotonicMs,
      shardId,
    }));
    expect(shapes).toEqual([
      { type: 'operation.started', durationMs: null, monotonicMs: 1000, shardId: null },
      { type: 'operation.stage', durationMs: 0, monotonicMs: 1000, shardId: 'a' },
      { type: 'seal.verified', durationMs: 0, monotonicMs: 1000, shardId: 'a' },
      { type: 'operation.stage', durationMs: 30, monotonicMs: 1030, shardId: 'a' },
      { type: 'execution.finished', durationMs: 30, monotonicMs: 1030, shardId: 'a' },
      { type: 'operation.finished', durationMs: 30, monotonicMs: 1030, shardId: 'a' },
    ]);
    expect(recorder.of('operation.stage')).toMatchObject([
      { stage: 'device-tree', byteLength: 10_000, startedMonotonicMs: 1000 },
      { stage: 'run', byteLength: 16, startedMonotonicMs: 1000 },
    ]);
    // A good one from before is no verification of its own.
    await execute(() => 0, { maxAgeMs: 1e6 });
    const own = new VramError('NOT_FOUND', 'mine');
    await failure(
      execute(() => {
        clock.turn(5);
        throw own;
      }),
    );
    const told = { sealId, ok: true, verifiedMs: 0, error: null, durationMs: 30 };
    expect(recorder.of('execution.finished')).toMatchObject([
      told,
      { ...told, verifiedMs: null, durationMs: 0 },
      {
        ...told,
        ok: false,
        durationMs: 5,
        error: { code: 'NOT_FOUND', kind: 'invalid', scope: null, message: 'mine' },
      },
    ]);
    await manager.close();
  });

  it('a verification counts to the last millisecond of maxAgeMs', async () => {
    const { manager, recorder, clock } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    await manager.verify(shard);
    const verified = (): number => recorder.of('seal.verified').length;
    clock.turn(10);
    await manager.execute(shard, () => 0, { maxAgeMs: 10 });
    expect(verified()).toBe(1);
    await manager.execute(shard, () => 0, { maxAgeMs: 9.5 });
    expect(verified()).toBe(2);
    await manager.close();
  });

  it('a lease ends before its result is returned, also when the callback throws, and is on no list any more', async () => {
    const ends: string[] = [];
    const seen = regionsOf((device) =>
      wrapRegions(device, (region) =>
        overlay(region, {
          view: (offset: number, length: number) => {
            const view = region.view(offset, length);
            return overlay(view, {
              end: async () => {
                ends.push('ended');
                await view.end();
              },
            });
          },
        }),
      ),
    );
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await manager.execute(shard, () => ends.push('ran'));
    await failure(
      manager.execute(shard, () => {
        ends.push('threw');
        throw new Error('mine');
      }),
    );
    expect(ends).toEqual(['ran', 'ended', 'threw', 'ended']);
    await seen.flip(0, 1, 1);
    await failure(manager.verify(shard));
    expect(recorder.of('shard.quarantined')).toMatchObject([{ leasesRevoked: 0 }]);
    await manager.close();
  });

  it('the signal reaches both verifications, and none does without one', async () => {
    const given: unknown[] = [];
    const { manager } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            root: async (options: unknown) => {
              given.push(options);
              return await region.root();
            },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(bytes));
    given.length = 0;
    const { signal } = new AbortController();
    await manager.execute(shard, () => 0, { recheck: true, signal });
    await manager.execute(shard, () => 0, { recheck: true });
    expect(given).toEqual([{ signal }, { signal }, {}, {}]);
    await manager.close();
  });

  it('aborted by the caller while it verifies: the callback does not run', async () => {
    const aborting = new AbortController();
    let armed = false;
    const { manager } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            root: async () => {
              if (armed) aborting.abort('enough');
              return await region.root();
            },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(bytes));
    armed = true;
    let ran = 0;
    const error = await failure(manager.execute(shard, () => ++ran, { signal: aborting.signal }));
    expect(error).toMatchObject({ code: 'ABORTED', cause: 'enough' });
    expect(ran).toBe(0);
    await manager.close();
  });

  it('damage that a second look finds while it rechecks keeps the result back', async () => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await failure(manager.execute(shard, () => seen.flip(0, 0, 1), { recheck: true }));
    expect(recorder.of('execution.finished')).toMatchObject([
      { ok: false, error: { code: 'INTEGRITY_VIOLATION' } },
    ]);
    const message = `shard "${shard.shardId}" is in quarantine: its resident bytes were found damaged; heal or release it`;
    expect((await failure(manager.execute(shard, () => 0))).message).toBe(message);
    await manager.close();
  });

  it('that is refused because the manager closes while it waits says so, not that the caller gave up', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    let waiting: Promise<unknown> = Promise.resolve();
    let healing: Promise<unknown> = Promise.resolve();
    let closing: Promise<unknown> = Promise.resolve();
    const outer = failure(
      manager.execute(shard, async () => {
        healing = failure(manager.heal(shard, bytesSource(bytes)));
        await soon();
        waiting = failure(manager.execute(shard, () => 0));
        await soon();
        closing = manager.close();
        await soon();
      }),
    );
    for (const ended of [await outer, await waiting, await healing]) {
      expect(ended).toMatchObject({ code: 'STOPPED', message: 'the manager is closed' });
    }
    await closing;
    expect(recorder.of('execution.finished')).toMatchObject([
      { ok: false, error: { code: 'STOPPED' } },
      { ok: false, error: { code: 'STOPPED' } },
    ]);
  });

  it('[AU-005] a failure that could not be recorded is thrown as it is', async () => {
    const recorder = new Recorder(true);
    const { manager } = await openHost({ recorder });
    const shard = await manager.seal(bytesSource(bytes));
    recorder.refuse = ({ type }) => type === 'execution.finished';
    const own = new Error('mine');
    const thrown = await failure(
      manager.execute(shard, () => {
        throw own;
      }),
    );
    expect(thrown).toBe(own);
    await manager.close();
  });
});

describe('the shard lock', () => {
  it('keeps no listener on a signal once a waiter was admitted or has given up', async () => {
    const lock = new ShardLock();
    let listeners = 0;
    const aborting = new AbortController();
    const signal = overlay(aborting.signal, {
      addEventListener: (...args: Parameters<AbortSignal['addEventListener']>) => {
        listeners++;
        aborting.signal.addEventListener(...args);
      },
      removeEventListener: (...args: Parameters<AbortSignal['removeEventListener']>) => {
        listeners--;
        aborting.signal.removeEventListener(...args);
      },
    });
    let letGo: () => void = () => undefined;
    const first = lock.with('exclusive', undefined, () => new Promise<void>((resolve) => (letGo = resolve)));
    const second = lock.with('exclusive', signal, async () => listeners);
    await soon();
    expect(listeners).toBe(1);
    letGo();
    await first;
    expect(await second).toBe(0);
    aborting.abort();
    expect(await lock.with('exclusive', undefined, async () => 'free')).toBe('free');
  });

  it('a free lock is taken at once: leases do not wait for each other, verifications neither', async () => {
    const lock = new ShardLock();
    const order: string[] = [];
    await lock.with('lease', undefined, async () => {
      await lock.with('lease', undefined, async () => void order.push('lease'));
      await lock.with('verify', undefined, async () => {
        await lock.with('verify', undefined, async () => void order.push('verify'));
      });
    });
    expect(order).toEqual(['lease', 'verify']);
  });

  it('a verification does not pass a waiting writer where other verifications alone run, nor a lease ever', async () => {
    for (const [running, late] of [
      ['verify', 'verify'],
      ['lease', 'lease'],
    ] as const) {
      const lock = new ShardLock();
      const order: string[] = [];
      let letGo: () => void = () => undefined;
      const all = [lock.with(running, undefined, () => new Promise<void>((resolve) => (letGo = resolve)))];
      await soon();
      all.push(lock.with('exclusive', undefined, async () => void order.push('writer')));
      all.push(lock.with(late, undefined, async () => void order.push(late)));
      await soon();
      expect(order).toEqual([]);
      letGo();
      await Promise.all(all);
      expect(order).toEqual(['writer', late]);
    }
  });

  it('one that gives up in the middle of the queue leaves the others in their order', async () => {
    const lock = new ShardLock();
    const order: string[] = [];
    let letGo: () => void = () => undefined;
    const aborting = new AbortController();
    const first = lock.with('exclusive', undefined, () => new Promise<void>((resolve) => (letGo = resolve)));
    const second = lock.with('exclusive', undefined, async () => void order.push('second'));
    const third = failure(lock.with('exclusive', aborting.signal, async () => void order.push('third')));
    const fourth = lock.with('exclusive', undefined, async () => void order.push('fourth'));
    await soon();
    aborting.abort();
    expect(await third).toMatchObject({ code: 'ABORTED' });
    expect(order).toEqual([]);
    letGo();
    await Promise.all([first, second, fourth]);
    expect(order).toEqual(['second', 'fourth']);
  });
});

describe('the lifecycle', () => {
  it('says in which state it is, and why it serves no more', () => {
    const lifecycle = new Lifecycle();
    expect([lifecycle.state, lifecycle.end]).toEqual(['open', null]);
    expect(() => lifecycle.requireDevice()).not.toThrow();
    lifecycle.stop('damage');
    expect(lifecycle.state).toBe('stopped');
    expect(lifecycle.end?.message).toBe(
      'the manager has stopped: damage; release its shards and open another',
    );
    lifecycle.lose('it fell off');
    expect(lifecycle.state).toBe('lost');
    expect(lifecycle.end).toMatchObject({ code: 'DEVICE_LOST', message: 'the device is lost: it fell off' });
    expect(lifecycle.lose('again')).toBe(false);
    lifecycle.close();
    expect(lifecycle.state).toBe('closed');
    expect(lifecycle.end).toMatchObject({ code: 'STOPPED', message: 'the manager is closed' });
    lifecycle.close();
    expect(lifecycle.stop('late')).toBe(false);
  });

  it('tells each watcher once, of the first end alone', () => {
    const lifecycle = new Lifecycle();
    const ends: string[] = [];
    const calledOff = lifecycle.onEnd(() => ends.push('called off'));
    const deviceCalledOff = lifecycle.onDeviceEnd(() => ends.push('device, called off'));
    lifecycle.onEnd(({ code }) => ends.push(code));
    lifecycle.onDeviceEnd(({ code }) => ends.push(`device ${code}`));
    calledOff();
    deviceCalledOff();
    lifecycle.stop('x');
    expect(ends).toEqual(['STOPPED']);
    lifecycle.close();
    expect(ends).toEqual(['STOPPED', 'device STOPPED']);
    lifecycle.onDeviceEnd(({ message }) => ends.push(message));
    expect(ends.at(-1)).toBe('the manager is closed');
  });

  it('a device that is lost is told to both kinds of watchers, and to those who come later', () => {
    const lifecycle = new Lifecycle();
    const ends: string[] = [];
    lifecycle.onEnd(({ code }) => ends.push(code));
    lifecycle.onDeviceEnd(({ code }) => ends.push(`device ${code}`));
    lifecycle.lose('x');
    lifecycle.onDeviceEnd(({ code }) => ends.push(`later ${code}`));
    lifecycle.close();
    expect(ends).toEqual(['DEVICE_LOST', 'device DEVICE_LOST', 'later DEVICE_LOST']);
  });
});

describe('joined signals', () => {
  it('fire with the first that fires and its reason; listeners are gone with the work', async () => {
    const one = new AbortController();
    const watchers = new Set<(reason: unknown) => void>();
    const ending = {
      onEnd: (watcher: (reason: unknown) => void) => {
        watchers.add(watcher);
        return () => void watchers.delete(watcher);
      },
    };
    let joined: AbortSignal | undefined;
    const result = await withSignals([undefined, one.signal, ending], async (signal) => {
      joined = signal;
      expect(signal.aborted).toBe(false);
      expect(watchers.size).toBe(1);
      for (const watcher of watchers) watcher('the end');
      expect([signal.aborted, signal.reason]).toEqual([true, 'the end']);
      return 5;
    });
    expect(result).toBe(5);
    expect(watchers.size).toBe(0);
    await withSignals([one.signal], async (signal) => {
      joined = signal;
    });
    one.abort('late');
    expect(joined?.aborted).toBe(false);
    const early = await withSignals([one.signal], async (signal) => signal);
    expect([early.aborted, early.reason]).toEqual([true, 'late']);
  });

  it('work that throws takes its listeners off, too', async () => {
    const one = new AbortController();
    let joined: AbortSignal | undefined;
    const work = withSignals([one.signal], async (signal) => {
      joined = signal;
      throw new Error('broken');
    });
    expect((await failure(work)).message).toBe('broken');
    one.abort();
    expect(joined?.aborted).toBe(false);
    await withSignals([new AbortController().signal], async (signal) => {
      expect(signal.aborted).toBe(false);
    });
  });

  it('one that fires while work runs fires the joined one', async () => {
    const one = new AbortController();
    await withSignals([undefined, one.signal], async (signal) => {
      one.abort('now');
      expect(signal.reason).toBe('now');
    });
  });
});

describe('sleep', () => {
  it('ends early with its signal, at once if that has fired or there is nothing to wait for', async () => {
    const aborting = new AbortController();
    const sleeping = sleep(60_000, aborting.signal);
    aborting.abort();
    await sleeping;
    await sleep(60_000, aborting.signal);
    const { signal } = new AbortController();
    await sleep(0, signal);
    await sleep(-1, signal);
    expect(aborting.signal.aborted).toBe(true);
  });

  it('waits otherwise, and leaves no listener behind', async () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const watched = overlay(signal, {
      addEventListener: () => listeners++,
      removeEventListener: () => listeners--,
    });
    let slept = false;
    const sleeping = sleep(5, watched).then(() => {
      slept = true;
    });
    await Promise.resolve();
    expect([slept, listeners]).toEqual([false, 1]);
    await sleeping;
    expect(listeners).toBe(0);
  });
});
