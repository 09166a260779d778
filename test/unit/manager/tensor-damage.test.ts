import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DamagedRange, VerificationReport } from '../../../src/base/reports.js';
import type { Device, FaultPort, Region } from '../../../src/device/index.js';
import { type DrillReport, VramManager } from '../../../src/manager/index.js';
import { type TensorSource, tensorSource } from '../../../src/models/index.js';
import { presentBackends, segmentedWebGpuTargets } from '../../support/backends.js';
import { type MadeFile, rising, tensorModel } from '../../support/tensor-model.js';
import { failure, openHost, platform, Recorder, wrapRegions } from './fixture.js';

const BLOCK = 4096;

/**
 * On WebGPU a buffer each: "a" is one whole block, "b" fills half of its last one, "c" ends one byte before a cut, and "d"
 * is a few bytes. Small, for software GPUs hash a few MB a second.
 */
const FEW: readonly MadeFile[] = [
  {
    name: 'few.safetensors',
    bytes: rising(60_000, 17, 3),
    tensors: [
      { name: 'a', at: 8, length: BLOCK },
      { name: 'b', at: 5000, length: 2 * BLOCK + 2000 },
      { name: 'c', at: 20_000, length: 5 * BLOCK - 1 },
      { name: 'd', at: 50_000, length: 77 },
    ],
  },
];
/** Blocks at which these begin. */
const BLOCKS = { a: 0, b: 1, c: 4, d: 9, end: 10 };

/** "d" reaches into a second group of 128 blocks, where "e" lies; no tensor fills a segment of 512 KiB. */
const GROUPS: readonly MadeFile[] = [
  {
    name: 'groups.safetensors',
    bytes: rising(600_000, 17, 3),
    tensors: [
      { name: 'a', at: 8, length: BLOCK },
      { name: 'b', at: 4104, length: 9000 },
      { name: 'c', at: 20_000, length: 500_000 },
      { name: 'd', at: 530_000, length: 40_000 },
      { name: 'e', at: 590_000, length: 77 },
    ],
  },
];

/** Padding beyond 5 % is accepted. */
const sourceOf = (files: readonly MadeFile[]): TensorSource =>
  tensorSource(tensorModel(files), { minBytes: 1 });

const backends = [...(await presentBackends()), ...(await segmentedWebGpuTargets())];

describe.each(backends)('damaged tensors on $name', ({ target, missing }) => {
  const skipped = missing === null ? '' : ` (SKIPPED: ${missing})`;
  let device: Device;
  // Software GPUs compile the shader for cuts at the first of them.
  beforeAll(async () => {
    if (target !== null) device = await target.open({ drills: true });
  }, 120_000);
  afterAll(async () => {
    if (target !== null) await device.close();
  });

  async function sealed(files: readonly MadeFile[], keep: 'leaves' | 'groups') {
    const regions: Region[] = [];
    const recorder = new Recorder(true);
    const wrapped = wrapRegions(device, (region) => {
      regions.push(region);
      return region;
    });
    const manager = await VramManager.open(
      { device: wrapped, workerId: 'w', policy: 'any', keep, drills: true, observers: [recorder] },
      platform(),
    );
    const source = sourceOf(files);
    const shard = await manager.seal(source);
    const flip = async (byte: number): Promise<void> => faultsOf(regions[0]).flip(byte, 0x20);
    return { manager, recorder, source, shard, flip };
  }

  it.skipIf(target === null)(
    `[CI-008] [MS-009] are named with the byte, whichever end of a buffer was hit, and healed from their files${skipped}`,
    { timeout: 120_000 },
    async () => {
      const { manager, source, shard, flip } = await sealed(FEW, 'leaves');
      if (device.info.backend === 'webgpu') expect(shard.immutability).toBe('api-only');
      const hits: readonly (readonly [number, number, string])[] = [
        // The first and the last byte of the second buffer, whose last is padding; of the third, whose last is too.
        [BLOCKS.b * BLOCK, 0, 'b'],
        [BLOCKS.c * BLOCK - 1, 2 * BLOCK, 'b'],
        [BLOCKS.c * BLOCK, 0, 'c'],
        [BLOCKS.d * BLOCK - 1, 4 * BLOCK, 'c'],
        [BLOCKS.end * BLOCK - 1, 0, 'd'],
      ];
      for (const [byte, byteInTensor, tensor] of hits) {
        await flip(byte);
        const error = await failure(manager.verify(shard));
        expect(error).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
        expect(error.message).toContain(`in the tensor "${tensor}"`);
        const firstBlock = Math.floor(byte / BLOCK);
        const damaged = [
          { firstBlock, blocks: 1, byteOffset: firstBlock * BLOCK, byteLength: BLOCK, tensor, byteInTensor },
        ];
        expect(error.report).toMatchObject({ damaged, exact: true, damagedGroups: 1 });
        expect(await manager.heal(shard, source)).toMatchObject({ healed: damaged, healedBlocks: 1 });
        expect(await manager.verify(shard)).toMatchObject({ verified: true });
      }
      await manager.close();
    },
  );

  it.skipIf(target === null)(
    `are ranges of their own on both sides of a cut${skipped}`,
    { timeout: 120_000 },
    async () => {
      const { manager, source, shard, flip } = await sealed(FEW, 'groups');
      for (const block of [BLOCKS.c - 1, BLOCKS.c]) await flip(block * BLOCK + 5);
      const { report } = await failure(manager.verify(shard, { source }));
      expect(report).toMatchObject({
        exact: true,
        damaged: [
          { firstBlock: BLOCKS.c - 1, blocks: 1, tensor: 'b', byteInTensor: 2 * BLOCK },
          { firstBlock: BLOCKS.c, blocks: 1, tensor: 'c', byteInTensor: 0 },
        ],
      });
      expect(await manager.heal(shard, source)).toMatchObject({ healedBlocks: 2 });
      await manager.close();
    },
  );

  it.skipIf(target === null)(
    `[MS-009] are told by a drill with each byte, and whether it is padding${skipped}`,
    { timeout: 120_000 },
    async () => {
      const { manager, recorder, source, shard } = await sealed(FEW, 'leaves');
      const drilled = await manager.drill(shard, { flips: 24, seed: 11 });
      expectPlaces(drilled, source);
      expect(new Set(drilled.flips.map(({ padding }) => padding))).toEqual(new Set([true, false]));
      const places = (flips: readonly object[]) =>
        flips.map((flip) => expect.objectContaining({ ...flip, type: 'drill.injected' }));
      expect(recorder.of('drill.injected')).toEqual(places(drilled.flips));
      const { damaged } = (await failure(manager.verify(shard))).report as VerificationReport;
      expect(blocksOf(damaged)).toEqual(drilled.blocks);
      expect(new Set(damaged.map(({ tensor }) => tensor))).toEqual(
        new Set(drilled.flips.map(({ tensor }) => tensor)),
      );
      expect((await manager.heal(shard, source)).healed).toEqual(damaged);
      expect(recorder.of('shard.healed')[0]?.healed).toEqual(damaged);
      expect(await manager.verify(shard)).toMatchObject({ verified: true });
      await manager.release(shard);
      expect(device.stats().liveBytes).toBe(0);
      await manager.close();
    },
  );

  it.skipIf(target === null)(
    `[CI-007] are found by a sample where it looks, behind any cut${skipped}`,
    { timeout: 120_000 },
    async () => {
      const { manager, source, shard, flip } = await sealed(GROUPS, 'groups');
      const sampled = { mode: 'sampled', groups: 2, source } as const;
      expect(await manager.verify(shard, sampled)).toMatchObject({ verified: false, sampled: true });
      const last = shard.byteLength - 1;
      await flip(last);
      const { code, report } = await failure(manager.verify(shard, sampled));
      expect(code).toBe('INTEGRITY_VIOLATION');
      expect(report).toMatchObject({
        damaged: [{ firstBlock: Math.floor(last / BLOCK), blocks: 1, tensor: 'e', byteInTensor: 0 }],
      });
      await manager.heal(shard, source);
      expect(await manager.verify(shard)).toMatchObject({ verified: true });
      await manager.close();
    },
  );
});

describe('damaged tensors', () => {
  it('of a group that no leaf narrows down are all those in it', async () => {
    const { manager } = await openHost({ options: { keep: 'groups' } });
    const shard = await manager.seal(sourceOf(GROUPS));
    await manager.drill(shard, { flips: 1, seed: 9 });
    const report = (await failure(manager.verify(shard))).report as VerificationReport;
    expect(report.exact).toBe(false);
    expect(report.damaged.map(({ tensor }) => tensor)).toEqual(['a', 'b', 'c', 'd']);
    expect(report.damaged.reduce((sum, { blocks }) => sum + blocks, 0)).toBe(128);
    await manager.close();
  });
});

function faultsOf(region: Region | undefined): FaultPort {
  if (region?.faults == null) throw new Error('a region without a fault port');
  return region.faults;
}

function expectPlaces({ flips }: DrillReport, { manifest }: TensorSource): void {
  for (const { byte, tensor, byteInTensor, padding } of flips) {
    const place = manifest.tensors.findLast(({ offset }) => offset <= byte);
    expect({ tensor, byteInTensor }).toEqual({
      tensor: place?.name,
      byteInTensor: byte - (place?.offset ?? 0),
    });
    expect(padding).toBe((byteInTensor ?? 0) >= (place?.byteLength ?? 0));
  }
}

function blocksOf(ranges: readonly DamagedRange[]): readonly number[] {
  return ranges.flatMap(({ firstBlock, blocks }) =>
    Array.from({ length: blocks }, (_, index) => firstBlock + index),
  );
}
