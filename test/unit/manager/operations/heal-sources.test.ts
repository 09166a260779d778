import { describe, expect, it } from 'vitest';
import type { RunOptions } from '../../../../src/device/types.js';
import { bytesSource, type Source, streamSource } from '../../../../src/source/index.js';
import { failure, openHost, overlay, pattern, Recorder, regionsOf, wrapRegions } from '../fixture.js';
import { bytes, GROUP, stages, timed } from './heal-fixture.js';

describe('healing', () => {
  it.each<[string, unknown, string]>([
    [
      'nothing',
      undefined,
      '"source" must be a source: see fileSource, urlSource, bytesSource and streamSource',
    ],
    ['null', null, '"source" must be a source: see fileSource, urlSource, bytesSource and streamSource'],
    [
      'a path',
      'model.bin',
      '"source" must be a source: see fileSource, urlSource, bytesSource and streamSource',
    ],
    [
      'an object',
      { readRange: () => bytes },
      '"source" must be a source: see fileSource, urlSource, bytesSource and streamSource',
    ],
    [
      'a stream',
      streamSource((async function* () {})(), 5, 'stream'),
      '"source" cannot be read at a position, so it cannot heal',
    ],
  ])('from %s is refused', async (_, source, message) => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const error = await failure(manager.heal(shard, source as Source));
    expect(error).toMatchObject({ code: 'INVALID_INPUT', argument: 'source', message });
    expect(recorder.types('heal')).toEqual(['operation.started', 'validation.failed', 'operation.finished']);
    await manager.close();
  });

  it('tells its stages, what it read and how long it took', async () => {
    const { manager, recorder } = await timed({ root: 3, patch: 2 });
    const shard = await manager.seal(bytesSource(bytes, 'model.bin'));
    await manager.drill(shard, { patterns: ['bit'], flips: 1, seed: 1 });
    recorder.events.length = 0;
    const report = await manager.heal(shard, bytesSource(bytes, 'model.bin'));
    const { healed } = report;
    const length = healed[0]?.byteLength ?? 0;
    expect(report).toEqual({
      shardId: shard.shardId,
      sealId: shard.sealId,
      healedBlocks: 1,
      healed: [
        { firstBlock: expect.any(Number), blocks: 1, byteOffset: expect.any(Number), byteLength: length },
      ],
      // Checked first, then read again to be written.
      sourceBytes: 2 * length,
      fsverity: shard.fsverity,
      durationMs: 5,
    });
    expect(stages(recorder, 'heal')).toEqual([
      ['compare', null, 0],
      ['patch', null, 2],
      ['device-tree', bytes.length, 3],
    ]);
    expect(recorder.of('shard.healed')).toMatchObject([{ durationMs: 5, source: 'model.bin' }]);
    await manager.close();
  });

  it('names the healed blocks in their order, wherever the damage was found first', async () => {
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap, options: { keep: 'groups' } });
    const shard = await manager.seal(bytesSource(bytes));
    for (const byte of [GROUP + 4096, 5 * 4096, 12 * 4096]) await seen.flip(0, byte, 1);
    const report = await manager.heal(shard, bytesSource(bytes));
    expect(report.healed.map(({ firstBlock }) => firstBlock)).toEqual([5, 12, 129]);
    expect(report.sourceBytes).toBe(2 * bytes.length);
    await manager.close();
  });

  it('of a shard that is as sealed heals nothing and reads nothing', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    expect(await manager.heal(shard, bytesSource(bytes))).toMatchObject({
      healedBlocks: 0,
      healed: [],
      sourceBytes: 0,
    });
    await manager.close();
  });

  it('from other bytes says of which source', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const error = await failure(manager.heal(shard, bytesSource(pattern(7), 'other.bin')));
    expect(error.message).toBe(
      'the source "other.bin" does not hold the bytes that were sealed; nothing was healed',
    );
    expect(recorder.of('heal.failed')).toMatchObject([
      {
        sealId: shard.sealId,
        error: { code: 'SOURCE_MISMATCH', kind: 'invalid', message: error.message },
        durationMs: 0,
      },
    ]);
    await manager.close();
  });

  it('from a source that changes while its blocks are written says how many of them were', async () => {
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap, options: { keep: 'leaves' } });
    const shard = await manager.seal(bytesSource(bytes));
    for (const block of [1, 3, 5]) await seen.flip(0, block * 4096, 1);
    let reads = 0;
    const changing: Source = {
      ...bytesSource(bytes, 'model.bin'),
      // Three reads to check the blocks and two to write them: the third write finds other bytes.
      readRange: async (offset, length) =>
        ++reads <= 5 ? bytes.slice(offset, offset + length) : new Uint8Array(length),
    };
    const error = await failure(manager.heal(shard, changing));
    expect(error).toMatchObject({
      code: 'SOURCE_MISMATCH',
      message:
        'the source "model.bin" does not hold the bytes that were sealed; it changed after 2 blocks were healed, and ' +
        'the shard stays in quarantine',
    });
    expect(manager.status().quarantined).toEqual([shard.shardId]);
    expect(await manager.heal(shard, bytesSource(bytes))).toMatchObject({ healedBlocks: 1 });
    await manager.close();
  });

  it('puts a shard that is in quarantine already there no second time', async () => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 0, 1);
    await failure(manager.verify(shard));
    await manager.heal(shard, bytesSource(bytes));
    expect(recorder.of('shard.quarantined')).toHaveLength(1);
    await manager.close();
  });

  it('[CI-007] that meets two digests of the same bytes leaves no verification that still counts', async () => {
    let lie = false;
    const { manager, recorder } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            root: async (options?: RunOptions) => {
              const found = await region.root(options);
              if (lie) found.root[0] = (found.root[0] ?? 0) ^ 1;
              lie = false;
              return found;
            },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(bytes));
    await manager.verify(shard);
    await manager.execute(shard, () => 0, { maxAgeMs: 60_000 });
    expect(recorder.of('seal.verified')).toHaveLength(1);
    lie = true;
    expect(await failure(manager.heal(shard, bytesSource(bytes)))).toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
    });
    await manager.execute(shard, () => 0, { maxAgeMs: 60_000 });
    expect(recorder.of('seal.verified')).toHaveLength(2);
    await manager.close();
  });

  it('gives up on memory that fails again and again, and on a device that contradicts itself', async () => {
    const again = regionsOf((device) =>
      wrapRegions(device, (region) => overlay(region, { patch: async () => undefined })),
    );
    const first = await openHost({ wrap: again.wrap, options: { keep: 'leaves' } });
    const shard = await first.manager.seal(bytesSource(bytes));
    await again.flip(0, 0, 1);
    const error = await failure(first.manager.heal(shard, bytesSource(bytes)));
    expect(error.message).toBe(
      'the bytes were damaged again 3 times while they were healed; release the shard',
    );
    expect(error.code).toBe('INTEGRITY_VIOLATION');
    expect(stages(first.recorder, 'heal').filter(([stage]) => stage === 'patch')).toHaveLength(3);
    await first.manager.close();

    let lie = false;
    const second = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            root: async (options?: RunOptions) => {
              const found = await region.root(options);
              if (lie) found.root[0] = (found.root[0] ?? 0) ^ 1;
              lie = false;
              return found;
            },
          }),
        ),
    });
    const other = await second.manager.seal(bytesSource(bytes));
    lie = true;
    const torn = await failure(second.manager.heal(other, bytesSource(bytes)));
    expect(torn).toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    expect(torn.message).toBe('the device gave two digests of the same bytes');
    await second.manager.close();
  });

  it('does nothing that a required observer has not heard of', async () => {
    const recorder = new Recorder(true);
    const seen = regionsOf();
    const { manager } = await openHost({ recorder, wrap: seen.wrap, options: { keep: 'leaves' } });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 0, 1);
    recorder.refuse = ({ type }) => type === 'shard.quarantined';
    expect(await failure(manager.heal(shard, bytesSource(bytes)))).toMatchObject({ code: 'AUDIT_FAILED' });
    const damaged = await seen.regions[0]?.read(0, 1);
    expect(damaged?.[0]).toBe((bytes[0] ?? 0) ^ 1);
    expect(recorder.of('shard.healed')).toEqual([]);
    await manager.close();
  });
});
