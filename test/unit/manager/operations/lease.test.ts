import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import type { CudaBinding, Region, WebGpuBinding } from '../../../../src/device/index.js';
import type { HostLease, Lease } from '../../../../src/manager/index.js';
import { openLease } from '../../../../src/manager/operations/lease.js';
import { revokeLeases } from '../../../../src/manager/state/device-loss.js';
import type { SealedShard } from '../../../../src/seal/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, pattern } from '../fixture.js';

const bytes = pattern(10_000);

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

describe('revoking leases', () => {
  it('ends each with the reason, and says how many there were', () => {
    const leases = new Set([new AbortController(), new AbortController()]);
    expect(revokeLeases(leases, 'why')).toBe(2);
    expect([...leases].map((lease) => lease.signal.reason)).toEqual(['why', 'why']);
    expect(revokeLeases(new Set(), 'why')).toBe(0);
  });
});

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

describe('leases over other backends', () => {
  const shard = { byteLength: 10_000 } as SealedShard;
  const region = (binding: Partial<WebGpuBinding> | Partial<CudaBinding>, views: unknown[]): Region =>
    ({
      view: (...range: unknown[]) => {
        views.push(range);
        return binding;
      },
    }) as unknown as Region;

  it('CUDA: launches and scratch work while the lease lasts, and are refused after its end or revocation', async () => {
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
