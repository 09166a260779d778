import { describe, expect, it } from 'vitest';
import { CudaLease, type LeaseOwner } from '../../../../src/device/cuda/lease.js';
import { type LeasedRegion, WebGpuLease } from '../../../../src/device/webgpu/lease.js';
import { openLease } from '../../../../src/manager/operations/lease.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, overlay, pattern, regionsOf } from '../fixture.js';

/** What no compiler has seen. */
const given = (json: string) => JSON.parse(json);

/** Answers every question with itself: nothing under test may get far enough to use what it stands for. */
function unreachable<T extends object>(known: Partial<T>): T {
  return overlay<T>(Object.create(null), known);
}

const PTX = '.visible .entry sum(\n.param .u64 a,\n.param .u32 n\n)\n{ ret; }';
const LAUNCH = {
  module: PTX,
  entry: 'sum',
  grid: [1, 1, 1],
  block: [1, 1, 1],
  args: [{ weights: { offset: 0, length: 1 } }, { u32: 1 }],
};

describe('what a lease is asked for', () => {
  const region = unreachable<LeasedRegion>({ check: () => undefined });

  it.each(['null', '5', '"all"', 'true'])(
    '[IV-001] WebGPU bindings(%s) is refused by name, by the device and by the manager',
    async (json) => {
      const binding = new WebGpuLease(region, 0, 100);
      expect(() => binding.bindings(given(json))).toThrow(
        expect.objectContaining({ code: 'INVALID_INPUT', argument: 'range' }),
      );
      const seen = regionsOf();
      const { manager } = await openHost({ wrap: seen.wrap });
      const shard = await manager.seal(bytesSource(pattern(100)));
      const [resident] = seen.regions;
      if (resident === undefined) throw new Error('no region');
      const lent = overlay(resident, {
        view: () => overlay(binding, { kind: 'webgpu', device: {}, layout: {} }),
      });
      const { lease } = openLease(
        { sealed: shard, region: lent, cuts: null },
        undefined,
        new AbortController().signal,
      );
      if (lease.kind !== 'webgpu') throw new Error('no WebGPU lease');
      expect(() => lease.bindings(given(json))).toThrow(
        expect.objectContaining({ code: 'INVALID_INPUT', argument: 'range' }),
      );
      await manager.close();
    },
  );

  it.each<[string, string, unknown]>([
    ['launch', 'nothing', null],
    ['launch', 'a text', 'sum'],
    ['grid', 'an empty object', {}],
    ['grid', 'a grid that is none', { ...LAUNCH, grid: null }],
    ['block', 'a block of two', { ...LAUNCH, block: [1, 1] }],
    ['module', 'no module', { ...LAUNCH, module: undefined }],
    ['entry', 'no entry', { ...LAUNCH, entry: undefined }],
    ['args', 'no arguments', { ...LAUNCH, args: undefined }],
    ['args', 'arguments in an object', { ...LAUNCH, args: { length: 2 } }],
    ['args[0]', 'an argument that is nothing', { ...LAUNCH, args: [null, { u32: 1 }] }],
    ['args[1]', 'an argument that is a number', { ...LAUNCH, args: [LAUNCH.args[0], 1] }],
    ['args[0]', 'weights that are nothing', { ...LAUNCH, args: [{ weights: null }, { u32: 1 }] }],
    ['args[0]', 'an argument of no kind', { ...LAUNCH, args: [{}, { u32: 1 }] }],
  ])('[IV-001] CUDA launch refuses "%s": %s', async (argument, _name, launch) => {
    const memory = unreachable<Parameters<LeaseOwner['addon']['release']>[0]>({});
    const lease = new CudaLease(
      unreachable<LeaseOwner>({}),
      { memory, offset: 0, checkLive: () => undefined },
      100,
    );
    expect(await failure(lease.launch(given(JSON.stringify(launch))))).toMatchObject({
      code: 'INVALID_INPUT',
      argument,
    });
  });

  it('[IV-001] CUDA launches what was checked, whatever becomes of the object meanwhile', async () => {
    const launched: unknown[] = [];
    const handle = unreachable<Parameters<LeaseOwner['addon']['release']>[0]>({});
    const owner = unreachable<LeaseOwner>({
      attempt: (_code, _what, work) => work(),
      addon: unreachable<LeaseOwner['addon']>({
        loadModule: () => Promise.resolve(given('{}')),
        launch: async (_module, ...rest) => {
          launched.push(rest);
        },
      }),
    });
    const lease = new CudaLease(owner, { memory: handle, offset: 0, checkLive: () => undefined }, 100);
    const launch = {
      module: `${PTX}\n.visible .entry other(\n.param .u32 n\n)\n{ ret; }`,
      entry: 'other',
      grid: [1, 2, 3] as [number, number, number],
      block: [4, 5, 6] as [number, number, number],
      args: [{ u32: 7 }],
    };
    const done = lease.launch(launch);
    launch.entry = 'sum';
    launch.grid[2] = -1;
    launch.block[0] = 0;
    launch.args.length = 0;
    await done;
    expect(launched).toEqual([['other', [1, 2, 3], [4, 5, 6], [{ u32: 7 }]]]);
  });
});
