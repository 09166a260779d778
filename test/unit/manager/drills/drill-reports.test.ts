import { describe, expect, it } from 'vitest';
import { drawDamage } from '../../../../src/manager/drills/damage.js';
import { type DrillOptions, VramManager } from '../../../../src/manager/index.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { bytesSource } from '../../../../src/source/index.js';
import {
  failure,
  openHost,
  overlay,
  pattern,
  planOver,
  platform,
  Recorder,
  regionsOf,
  wrapRegions,
} from '../fixture.js';

const BLOCK = 4096;

const run = (from: number, count: number): number[] => Array.from({ length: count }, (_, at) => from + at);

describe('drill', () => {
  it('[AU-001] reports and tells all of it, before any of it is done', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(3 * BLOCK)), { shardId: 'a', modelRef: 'm' });
    recorder.events.length = 0;
    const report = await manager.drill(shard, { flips: 6, seed: 11, correlationId: 'c' });
    const flips = await drawDamage(planOver(pattern(3 * BLOCK), { flips: 6, seed: 11 }));
    const blocks = [...new Set(flips.map(({ byte }) => Math.floor(byte / BLOCK)))].sort((a, b) => a - b);
    expect(report).toEqual({ shardId: 'a', sealId: shard.sealId, seed: 11, flips, blocks });
    expect(blocks.length).toBeGreaterThan(1);
    expect([report, report.flips, report.blocks].every(Object.isFrozen)).toBe(true);
    const told = {
      at: '2026-01-02T03:04:05.678Z',
      monotonicMs: 1000,
      workerId: 'worker-1',
      correlationId: 'c',
      traceparent: null,
      operation: 'drill',
      operationId: 'drill-3',
      device: { id: 'host', name: 'system memory', uuid: null, residency: 'host', emulated: false },
      durationMs: null,
    };
    const about = { ...told, shardId: 'a', modelRef: 'm' };
    expect(recorder.events).toEqual([
      { ...told, shardId: null, modelRef: null, type: 'operation.started' },
      ...flips.map(({ byte, bit }) => ({
        ...about,
        type: 'drill.injected',
        sealId: shard.sealId,
        byte,
        bit,
      })),
      { ...about, durationMs: 0, type: 'operation.finished', ok: true, error: null },
    ]);
    await manager.close();
  });

  it('by default flips one bit of the data, by a seed of 32 random bits', async () => {
    const drawn = overlay(nodeCrypto, {
      randomBytes: (length: number) => Uint8Array.from({ length }, (_, index) => index + 1),
    });
    const manager = await VramManager.open(
      { device: 'host', workerId: 'w', policy: 'any', drills: true },
      { ...platform(), crypto: drawn },
    );
    const shard = await manager.seal(bytesSource(pattern(100)));
    const { seed, flips } = await manager.drill(shard);
    expect(seed).toBe(0x01020304);
    expect(flips).toEqual(await drawDamage(planOver(pattern(100), { seed })));
    expect(await manager.drill(shard, { seed: Number.MAX_SAFE_INTEGER })).toMatchObject({
      seed: Number.MAX_SAFE_INTEGER,
    });
    await manager.close();
  });

  it.each<[string, object]>([
    ['"patterns" must be an array of 1 to 5 patterns', { patterns: [] }],
    ['"patterns" must be an array of 1 to 5 patterns', { patterns: 'bit' }],
    ['"patterns" must be an array of 1 to 5 patterns', { patterns: { length: 1 } }],
    [
      '"patterns" must be an array of 1 to 5 patterns',
      { patterns: ['bit', 'bit', 'bit', 'bit', 'bit', 'bit'] },
    ],
    [
      '"patterns" must be one of bit, neighbours, word, block, pair, got string',
      { patterns: ['bit', 'stripe'] },
    ],
    ['"area" must be one of data, padding, both, got string', { area: 'all' }],
    ['"flips" must be an integer from 1 to 1000000, got 0', { flips: 0 }],
    ['"flips" must be an integer from 1 to 1000000, got 1000001', { flips: 1_000_001 }],
    ['"seed" must be an integer of at least 0, got -1', { seed: -1 }],
  ])('refuses with words: %s', async (message, options) => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(100)));
    expect(await failure(manager.drill(shard, options))).toMatchObject({ code: 'INVALID_INPUT', message });
    await manager.close();
  });

  it('takes five patterns at once', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(9 * BLOCK)));
    const patterns = ['bit', 'neighbours', 'word', 'pair', 'bit'] as const;
    const { flips } = await manager.drill(shard, { patterns, flips: 5, seed: 1 });
    expect(flips.length).toBeGreaterThanOrEqual(1 + 2 + 32 + 2 + 1);
    await manager.close();
  });

  it('refuses a device that was not opened for it, with words', async () => {
    const { manager } = await openHost({
      wrap: (device) => wrapRegions(device, (region) => overlay(region, { faults: null })),
    });
    const shard = await manager.seal(bytesSource(pattern(100)));
    expect(await failure(manager.drill(shard))).toMatchObject({
      argument: 'device',
      message: '"device" was not opened with drills: true',
    });
    await manager.close();
  });

  it('strikes each byte once, with all of its bits', async () => {
    const struck: [number, number][] = [];
    const { manager } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            faults: { flip: async (byte: number, mask: number) => void struck.push([byte, mask]) },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(pattern(4)));
    const { blocks } = await manager.drill(shard, { patterns: ['word'] });
    expect(struck).toEqual([0, 1, 2, 3].map((byte) => [byte, 255]));
    expect(blocks).toEqual([0]);
    struck.length = 0;
    const { flips } = await manager.drill(shard, { flips: 7, seed: 2 });
    const masks = new Map<number, number>();
    for (const { byte, bit } of flips) masks.set(byte, (masks.get(byte) ?? 0) + 2 ** bit);
    expect(struck).toEqual([...masks]);
    await manager.close();
  });

  it('blocks are told in ascending order', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(12 * BLOCK)));
    const { blocks } = await manager.drill(shard, { flips: 100, seed: 5 });
    expect(blocks).toEqual(run(0, 12));
    await manager.close();
  });

  it('asks for 1024 records at a time, each flip once; a refusal ends it after those', async () => {
    const recorder = new Recorder(true);
    const { manager } = await openHost({ recorder });
    const shard = await manager.seal(bytesSource(pattern(BLOCK)));
    const { flips } = await manager.drill(shard, { flips: 1025, seed: 1 });
    expect(recorder.of('drill.injected').map(({ byte, bit }) => ({ byte, bit }))).toEqual(flips);
    await manager.drill(shard, { flips: 1024, seed: 1 });
    expect(recorder.of('drill.injected')).toHaveLength(2049);
    let asked = 0;
    recorder.refuse = ({ type }) => type === 'drill.injected' && ++asked === 1024;
    const error = await failure(manager.drill(shard, { flips: 1025, seed: 1 }));
    expect(error).toMatchObject({
      code: 'AUDIT_FAILED',
      message: 'the required observer "recorder" failed',
    });
    expect(asked).toBe(1024);
    expect(await manager.verify(shard).catch(({ code }) => code)).toBe('INTEGRITY_VIOLATION');
    await manager.close();
  });

  describe('ends early', () => {
    const pairs: DrillOptions = { patterns: ['pair'], seed: 1 };

    it('when its signal fires while it draws: nothing is told, nothing flipped', async () => {
      const aborting = new AbortController();
      const { manager, recorder } = await openHost({
        wrap: (device) =>
          wrapRegions(device, (region) =>
            overlay(region, {
              read: async (offset: number, length: number) => {
                aborting.abort('enough');
                return await region.read(offset, length);
              },
            }),
          ),
      });
      const shard = await manager.seal(bytesSource(pattern(100)));
      const error = await failure(manager.drill(shard, { ...pairs, signal: aborting.signal }));
      expect(error).toMatchObject({ code: 'ABORTED', cause: 'enough' });
      expect(recorder.of('drill.injected')).toEqual([]);
      expect(await manager.verify(shard)).toMatchObject({ verified: true });
      await manager.close();
    });

    it('when its signal fires while it waits for a lease', async () => {
      const { manager } = await openHost();
      const shard = await manager.seal(bytesSource(pattern(100)));
      const aborting = new AbortController();
      await manager.execute(shard, async () => {
        const drilled = failure(manager.drill(shard, { signal: aborting.signal }));
        setTimeout(() => aborting.abort(), 3);
        expect(await drilled).toMatchObject({ code: 'ABORTED' });
      });
      await manager.close();
    });

    it('when its shard was released, or its manager stopped, while it waited', async () => {
      const seen = regionsOf();
      const { manager } = await openHost({
        wrap: seen.wrap,
        options: { onVerificationFailure: 'stop' },
      });
      const shard = await manager.seal(bytesSource(pattern(100)));
      const other = await manager.seal(bytesSource(pattern(100)));
      let releasing: Promise<unknown> = Promise.resolve();
      let drilled: Promise<unknown> = Promise.resolve();
      const leased = failure(
        manager.execute(shard, async () => {
          drilled = failure(manager.drill(shard));
          await new Promise((resolve) => setTimeout(resolve, 3));
          releasing = manager.release(shard);
          await new Promise((resolve) => setTimeout(resolve, 3));
        }),
      );
      await leased;
      expect(await drilled).toMatchObject({ code: 'NOT_FOUND' });
      await releasing;
      await seen.flip(1, 0, 1);
      expect(await failure(manager.verify(other))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
      expect(await failure(manager.drill(other))).toMatchObject({ code: 'STOPPED' });
      await manager.close();
    });
  });
});
