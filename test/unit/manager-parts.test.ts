import { describe, expect, it } from 'vitest';
import { VramError } from '../../src/base/errors.js';
import type { CudaBinding, Region, WebGpuBinding } from '../../src/device/index.js';
import { blocksOf, toRanges } from '../../src/manager/integrity/block-ranges.js';
import { openLease } from '../../src/manager/operations/lease.js';
import { Ledger } from '../../src/manager/state/ledger.js';
import { Lifecycle } from '../../src/manager/state/lifecycle.js';
import { type Hold, ShardLock } from '../../src/manager/state/shard-lock.js';
import type { SealedShard } from '../../src/seal/index.js';
import { failure, pattern } from './manager-fixture.js';

const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

/** Takes holds by name and keeps them until told to let go. */
class Holders {
  readonly lock = new ShardLock();
  readonly log: string[] = [];
  readonly #letGo = new Map<string, () => void>();
  readonly #done: Promise<unknown>[] = [];

  take(name: string, hold: Hold, signal?: AbortSignal): Promise<unknown> {
    const done = this.lock.with(hold, signal, () => {
      this.log.push(name);
      return new Promise<void>((resolve) => this.#letGo.set(name, resolve));
    });
    this.#done.push(done.catch(() => undefined));
    return done;
  }

  async letGo(...names: string[]): Promise<void> {
    for (const name of names) this.#letGo.get(name)?.();
    await tick();
  }
}

describe('shard lock', () => {
  it('verifications and leases share; an exclusive hold waits for all and keeps all out', async () => {
    const holders = new Holders();
    void holders.take('v1', 'verify');
    void holders.take('l1', 'lease');
    void holders.take('v2', 'verify');
    void holders.take('x1', 'exclusive');
    void holders.take('l2', 'lease');
    await tick();
    expect(holders.log).toEqual(['v1', 'l1', 'v2']);
    await holders.letGo('v1', 'l1');
    expect(holders.log).toEqual(['v1', 'l1', 'v2']);
    await holders.letGo('v2');
    expect(holders.log).toEqual(['v1', 'l1', 'v2', 'x1']);
    await holders.letGo('x1');
    expect(holders.log).toEqual(['v1', 'l1', 'v2', 'x1', 'l2']);
    await holders.letGo('l2');
  });

  it('verifications pass a waiting writer while a lease runs, and only then', async () => {
    const holders = new Holders();
    void holders.take('l1', 'lease');
    void holders.take('x1', 'exclusive');
    void holders.take('v1', 'verify');
    await tick();
    expect(holders.log).toEqual(['l1', 'v1']);
    await holders.letGo('l1');
    void holders.take('v2', 'verify');
    await tick();
    expect(holders.log).toEqual(['l1', 'v1']);
    await holders.letGo('v1');
    expect(holders.log).toEqual(['l1', 'v1', 'x1']);
    await holders.letGo('x1');
    expect(holders.log.at(-1)).toBe('v2');
  });

  it('writers take turns', async () => {
    const holders = new Holders();
    for (const name of ['x1', 'x2', 'x3']) void holders.take(name, 'exclusive');
    await tick();
    expect(holders.log).toEqual(['x1']);
    await holders.letGo('x1');
    expect(holders.log).toEqual(['x1', 'x2']);
    await holders.letGo('x2');
    expect(holders.log).toEqual(['x1', 'x2', 'x3']);
  });

  it('a waiter that gives up lets those behind it pass', async () => {
    const holders = new Holders();
    const aborting = new AbortController();
    void holders.take('l1', 'lease');
    const waiting = holders.take('x1', 'exclusive', aborting.signal);
    void holders.take('l2', 'lease');
    await tick();
    expect(holders.log).toEqual(['l1']);
    aborting.abort('no');
    expect(await failure(waiting)).toMatchObject({ code: 'ABORTED', cause: 'no' });
    expect(holders.log).toEqual(['l1', 'l2']);
    await holders.letGo('l1', 'l2');
    void holders.take('x2', 'exclusive');
    await tick();
    expect(holders.log.at(-1)).toBe('x2');
  });

  it('refuses a signal that has fired, and lets go when the work fails', async () => {
    const holders = new Holders();
    expect(await failure(holders.lock.with('lease', AbortSignal.abort(), async () => 1))).toMatchObject({
      code: 'ABORTED',
    });
    const broken = holders.lock.with('exclusive', undefined, () => Promise.reject(new Error('broken')));
    expect((await failure(broken)).message).toBe('broken');
    expect(await holders.lock.with('exclusive', undefined, async () => 5)).toBe(5);
  });
});

describe('ledger', () => {
  it('[RP-001] takes scratch off first, and the smaller of budget and what is free', () => {
    const ledger = new Ledger(100, 30);
    expect(ledger.availableBytes(null)).toBe(70);
    expect(ledger.availableBytes(50)).toBe(50);
    const reservation = ledger.reserve(60, 65);
    expect([ledger.usedBytes, ledger.availableBytes(1000)]).toEqual([60, 10]);
    expect(() => ledger.reserve(11, null)).toThrow(
      expect.objectContaining({ code: 'INSUFFICIENT_VRAM', neededBytes: 11, availableBytes: 10 }),
    );
    expect(() => ledger.reserve(10, 9)).toThrow(expect.objectContaining({ availableBytes: 9 }));
    reservation.release();
    reservation.release();
    expect(ledger.usedBytes).toBe(0);
    ledger.reserve(70, null);
    expect(ledger.availableBytes(null)).toBe(0);
  });

  it('without a budget only the device bounds it', () => {
    const ledger = new Ledger(null, 30);
    expect(ledger.availableBytes(null)).toBeNull();
    ledger.reserve(2 ** 50, null);
    expect(() => ledger.reserve(6, 5)).toThrow(expect.objectContaining({ code: 'INSUFFICIENT_VRAM' }));
  });
});

describe('lifecycle', () => {
  it('only ever moves on, and its signal says why', () => {
    const lifecycle = new Lifecycle();
    lifecycle.requireServing();
    expect(lifecycle.end).toBeNull();
    const ends: string[] = [];
    lifecycle.onEnd(({ code }) => ends.push(code));
    lifecycle.onEnd(() => ends.push('called off'))();
    expect(lifecycle.stop('damage')).toBe(true);
    expect(lifecycle.stop('again')).toBe(false);
    expect(lifecycle.end).toMatchObject({ code: 'STOPPED' });
    expect(ends).toEqual(['STOPPED']);
    lifecycle.onEnd(({ code }) => ends.push(code));
    expect(ends).toEqual(['STOPPED', 'STOPPED']);
    const deviceEnds: string[] = [];
    lifecycle.onDeviceEnd(({ code }) => deviceEnds.push(code));
    lifecycle.onDeviceEnd(() => deviceEnds.push('called off'))();
    expect(deviceEnds).toEqual([]);
    expect(() => lifecycle.requireServing()).toThrow(expect.objectContaining({ code: 'STOPPED' }));
    lifecycle.requireDevice();
    expect(lifecycle.lose('gone')).toBe(true);
    expect(() => lifecycle.requireDevice()).toThrow(expect.objectContaining({ code: 'DEVICE_LOST' }));
    lifecycle.onDeviceEnd(({ code }) => deviceEnds.push(code));
    lifecycle.close();
    expect(deviceEnds).toEqual(['DEVICE_LOST', 'DEVICE_LOST']);
    expect(lifecycle.lose('late')).toBe(false);
    expect(lifecycle.state).toBe('closed');
    expect(() => lifecycle.requireDevice()).toThrow(expect.objectContaining({ code: 'STOPPED' }));
  });
});

describe('ranges', () => {
  it('joins neighbours and shortens the last block', () => {
    expect(toRanges([], 10)).toEqual([]);
    expect(toRanges([0], 10)).toEqual([{ firstBlock: 0, blocks: 1, byteOffset: 0, byteLength: 10 }]);
    const ranges = toRanges([0, 1, 3, 7, 8], 8 * 4096 + 1);
    expect(ranges).toEqual([
      { firstBlock: 0, blocks: 2, byteOffset: 0, byteLength: 8192 },
      { firstBlock: 3, blocks: 1, byteOffset: 12_288, byteLength: 4096 },
      { firstBlock: 7, blocks: 2, byteOffset: 28_672, byteLength: 4097 },
    ]);
    expect([...blocksOf(ranges)]).toEqual([0, 1, 3, 7, 8]);
  });
});

describe('leases over other backends', () => {
  const shard = { byteLength: 10_000 } as SealedShard;
  const region = (binding: Partial<WebGpuBinding> | Partial<CudaBinding>, views: unknown[]): Region =>
    ({
      view: (...range: unknown[]) => {
        views.push(range);
        return binding;
      },
    }) as unknown as Region;

  it('CUDA: launches and scratch go to the device while the lease lasts, and are refused afterwards or when it is revoked', async () => {
    const calls: unknown[] = [];
    const views: unknown[] = [];
    const cuda: Partial<CudaBinding> = {
      kind: 'cuda',
      launch: async (launch) => void calls.push(launch.entry),
      scratch: async (byteLength) => ({
        byteLength,
        write: async () => undefined,
        read: async () => pattern(byteLength),
      }),
      end: async () => void calls.push('end'),
    };
    const launch = { module: '', entry: 'k', grid: [1, 1, 1], block: [1, 1, 1], args: [] } as const;
    const revoking = new AbortController();
    const { lease, end } = openLease(
      { sealed: shard, region: region(cuda, views), cuts: null },
      { byteOffset: 10, byteLength: 20 },
      revoking.signal,
    );
    if (lease.kind !== 'cuda') throw new Error('unreachable');
    await lease.launch(launch);
    expect((await lease.scratch(5)).byteLength).toBe(5);
    expect(views).toEqual([[10, 20]]);
    revoking.abort(new VramError('INTEGRITY_VIOLATION', 'revoked'));
    expect((await failure(lease.launch(launch))).message).toBe('revoked');
    await end();
    expect(calls).toEqual(['k', 'end']);
    expect(await failure(lease.scratch(5))).toMatchObject({ code: 'NOT_FOUND' });
    expect(Object.keys(lease).sort()).toEqual([
      'buffer',
      'byteLength',
      'kind',
      'launch',
      'report',
      'scratch',
      'shard',
      'signal',
    ]);
  });

  it('WebGPU: ranges are of the lease, tensors of the shard', async () => {
    const asked: unknown[] = [];
    const webgpu = {
      kind: 'webgpu',
      device: {},
      layout: {},
      bindings: (range: unknown) => {
        asked.push(range);
        return [];
      },
      end: async () => undefined,
    } as unknown as WebGpuBinding;
    const { lease, end } = openLease(
      { sealed: shard, region: region(webgpu, []), cuts: null },
      { byteOffset: 1000, byteLength: 500 },
      new AbortController().signal,
    );
    if (lease.kind !== 'webgpu') throw new Error('unreachable');
    lease.bindings();
    lease.bindings({ offset: 5, length: 6 });
    lease.bindings({ byteOffset: 1100, byteLength: 400 });
    expect(asked).toEqual([undefined, { offset: 5, length: 6 }, { offset: 100, length: 400 }]);
    for (const outside of [
      { byteOffset: 999, byteLength: 1 },
      { byteOffset: 1100, byteLength: 401 },
      { byteOffset: 1500, byteLength: 1 },
      { byteOffset: 1000, byteLength: 0 },
      { byteOffset: Number.NaN, byteLength: 1 },
    ]) {
      expect(() => lease.bindings(outside)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }));
    }
    await end();
    expect(() => lease.bindings()).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
  });
});
