import { describe, expect, it } from 'vitest';
import type { Region } from '../../../../src/device/types.js';
import { bytesSource, type Source } from '../../../../src/source/index.js';
import { openHost, overlay, pattern, Recorder, regionsOf, wrapRegions } from '../fixture.js';

const GROUP = 524_288;
/** Steps of 8 groups, the least there are. */
const FAST = { intervalMs: 1, bytesPerSecond: 2 ** 27 };

/** Resolves when the recorder has seen enough; the test's own time limit is the way out. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

const passes = (recorder: Recorder, shardId: string): number =>
  recorder.of('scrub.finished').filter((event) => event.shardId === shardId).length;

/** Notes how many nodes each run is asked for. */
function counted(region: Region, runs: number[], meanwhile: () => void = () => undefined): Partial<Region> {
  return {
    nodes: async (level, first, count, options) => {
      runs.push(count);
      meanwhile();
      return await region.nodes(level, first, count, options);
    },
  };
}

describe('scrub', () => {
  it('goes through all live shards, group by group, and says when each was last wholly checked', async () => {
    const runs: number[] = [];
    const { manager, recorder, clock } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            nodes: async (...args: Parameters<typeof region.nodes>) => {
              runs.push(args[2]);
              return await region.nodes(...args);
            },
          }),
        ),
    });
    await manager.seal(bytesSource(pattern(10 * GROUP + 5)), { shardId: 'big' });
    await manager.seal(bytesSource(pattern(5)), { shardId: 'small' });
    const scrubber = manager.scrub(FAST);
    expect(scrubber.report()).toMatchObject([
      { shardId: 'big', lastVerifiedAt: null, lastScrubbedAt: null, quarantined: false },
      { shardId: 'small', lastScrubbedAt: null },
    ]);
    await until(() => passes(recorder, 'big') >= 2 && passes(recorder, 'small') >= 2);
    await scrubber.stop();
    const at = new Date(clock.now()).toISOString();
    expect(scrubber.report()).toMatchObject([
      { shardId: 'big', lastScrubbedAt: at, lastVerifiedAt: null },
      { shardId: 'small', lastScrubbedAt: at },
    ]);
    // 11 groups in steps of 8 and 3; data of one block by its leaf.
    expect(runs.slice(0, 3).sort()).toEqual([1, 3, 8]);
    expect(recorder.of('scrub.finished').every(({ ok }) => ok)).toBe(true);
    const before = recorder.of('scrub.finished').length;
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(recorder.of('scrub.finished')).toHaveLength(before);
    await manager.close();
  });

  it('checks first what was checked longest ago', async () => {
    const { manager, recorder, clock } = await openHost();
    const first = await manager.seal(bytesSource(pattern(5)), { shardId: 'a' });
    for (const shardId of ['b', 'c']) {
      await manager.verify(await manager.seal(bytesSource(pattern(5)), { shardId }));
      clock.turn(1000);
    }
    await manager.verify(first);
    clock.turn(1000);
    const scrubber = manager.scrub({ ...FAST, intervalMs: 10_000 });
    await until(() => recorder.of('scrub.finished').length === 3);
    await scrubber.stop();
    expect(recorder.of('scrub.finished').map(({ shardId }) => shardId)).toEqual(['b', 'c', 'a']);
    await manager.close();
  });

  it('[CI-007] never counts as a verification for execute', async () => {
    let roots = 0;
    const { manager, recorder } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            root: async () => {
              roots++;
              return await region.root();
            },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(pattern(5)), { shardId: 'a' });
    const scrubber = manager.scrub(FAST);
    await until(() => passes(recorder, 'a') > 0);
    await scrubber.stop();
    const before = roots;
    await manager.execute(shard, () => 0, { maxAgeMs: 1e9 });
    expect(roots).toBe(before + 1);
    await manager.close();
  });

  it('[ST-001] damage quarantines, and what is in quarantine is left alone', async () => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    await manager.seal(bytesSource(pattern(3 * GROUP)), { shardId: 'a' });
    await manager.seal(bytesSource(pattern(3 * GROUP)), { shardId: 'b' });
    await seen.flip(0, 2 * GROUP + 1, 1);
    const scrubber = manager.scrub(FAST);
    await until(() => manager.status().quarantined.length > 0 && passes(recorder, 'b') > 2);
    await scrubber.stop();
    expect(manager.status().quarantined).toEqual(['a']);
    expect(recorder.of('shard.quarantined')).toMatchObject([{ shardId: 'a', operation: 'scrub' }]);
    expect(recorder.of('scrub.finished').filter(({ shardId }) => shardId === 'a')).toMatchObject([
      { ok: false },
    ]);
    expect(scrubber.report()).toMatchObject([{ quarantined: true }, { quarantined: false }]);
    await manager.close();
  });

  it('heals from what seal() was told to reopen, if it may, and closes it', async () => {
    for (const heal of [true, false]) {
      const seen = regionsOf();
      const { manager, recorder } = await openHost({ wrap: seen.wrap });
      const bytes = pattern(3 * GROUP);
      const open: Source[] = [];
      const reopen = async (): Promise<Source> => {
        const source: Source = {
          ...bytesSource(bytes),
          close: async () => {
            open.splice(open.indexOf(source), 1);
          },
        };
        open.push(source);
        return source;
      };
      const shard = await manager.seal(bytesSource(bytes), { shardId: 'a', reopen });
      await seen.flip(0, 2 * GROUP + 1, 1);
      const scrubber = manager.scrub({ ...FAST, heal });
      await until(() => passes(recorder, 'a') > (heal ? 1 : 0));
      await scrubber.stop();
      expect(recorder.of('shard.healed')).toHaveLength(heal ? 1 : 0);
      expect(open).toEqual([]);
      expect(manager.status().quarantined).toEqual(heal ? [] : ['a']);
      if (heal) await manager.verify(shard);
      await manager.close();
    }
  });

  it('damage that cannot be healed stays in quarantine, and the others are checked on', async () => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    const reopen = async (): Promise<Source> => {
      throw new Error('the disk is gone');
    };
    await manager.seal(bytesSource(pattern(GROUP)), { shardId: 'a', reopen });
    await manager.seal(bytesSource(pattern(GROUP)), { shardId: 'b' });
    await seen.flip(0, 1, 1);
    const scrubber = manager.scrub({ ...FAST, heal: true });
    await until(() => manager.status().quarantined.length > 0 && passes(recorder, 'b') > 1);
    await scrubber.stop();
    expect(manager.status().quarantined).toEqual(['a']);
    expect(recorder.of('heal.failed')).toMatchObject([{ shardId: 'a', error: { code: 'INVALID_INPUT' } }]);
    expect(recorder.of('scrub.finished').filter(({ shardId }) => shardId === 'a')).toMatchObject([
      { ok: false },
    ]);
    await manager.close();
  });

  it('yields to leases, but not for ever', async () => {
    const { manager, recorder, clock } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(5)), { shardId: 'a' });
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let began = false;
    const running = manager.execute(shard, () => {
      began = true;
      return held;
    });
    await until(() => began);
    const scrubber = manager.scrub({ ...FAST, intervalMs: 2 });
    await new Promise((resolve) => setTimeout(resolve, 15));
    // The test's clock stands still: it has waited for no time at all.
    expect(passes(recorder, 'a')).toBe(0);
    clock.turn(5);
    await until(() => passes(recorder, 'a') > 0);
    release();
    await running;
    await scrubber.stop();
    await manager.close();
  });

  it('yields to leases for a second at most, however long the pause between rounds is', async () => {
    const { manager, recorder, clock } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(5)), { shardId: 'a' });
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let began = false;
    const running = manager.execute(shard, () => {
      began = true;
      return held;
    });
    await until(() => began);
    const scrubber = manager.scrub({ ...FAST, intervalMs: 3_600_000 });
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(passes(recorder, 'a')).toBe(0);
    // To the millisecond.
    clock.turn(1000);
    await until(() => passes(recorder, 'a') > 0);
    release();
    await running;
    await scrubber.stop();
    await manager.close();
  });

  it('[ST-002] damage that stops the manager is healed before the scrubber ends', async () => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({
      wrap: seen.wrap,
      options: { onVerificationFailure: 'stop' },
    });
    const bytes = pattern(3 * GROUP);
    const reopen = async (): Promise<Source> => bytesSource(bytes);
    const shard = await manager.seal(bytesSource(bytes), { shardId: 'a', reopen });
    await seen.flip(0, 2 * GROUP + 1, 1);
    const scrubber = manager.scrub({ ...FAST, heal: true });
    await scrubber.ended;
    expect(recorder.of('heal.failed')).toEqual([]);
    expect(recorder.of('shard.healed')).toMatchObject([{ shardId: 'a', healedBlocks: 1 }]);
    expect(manager.status()).toMatchObject({ state: 'stopped', quarantined: [] });
    expect(await manager.verify(shard)).toMatchObject({ verified: true });
    await manager.close();
  });

  it('stop() calls a healing off that waits for leases', async () => {
    const seen = regionsOf();
    const { manager, recorder, clock } = await openHost({ wrap: seen.wrap });
    const bytes = pattern(GROUP);
    const reopen = async (): Promise<Source> => bytesSource(bytes);
    const shard = await manager.seal(bytesSource(bytes), { shardId: 'a', reopen });
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let began = false;
    const running = manager.execute(shard, () => {
      began = true;
      return held;
    });
    const rejected = expect(running).rejects.toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    await until(() => began);
    await seen.flip(0, 1, 1);
    const scrubber = manager.scrub({ ...FAST, heal: true });
    while (manager.status().quarantined.length === 0) {
      clock.turn(5);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await scrubber.stop();
    expect(recorder.of('heal.failed')).toMatchObject([{ shardId: 'a', error: { code: 'ABORTED' } }]);
    release();
    await rejected;
    await manager.close();
  });

  it('ends with the manager', async () => {
    const { manager, recorder } = await openHost();
    await manager.seal(bytesSource(pattern(5)), { shardId: 'a' });
    const scrubber = manager.scrub({ ...FAST, intervalMs: 1e8 });
    await until(() => passes(recorder, 'a') > 0);
    await manager.close();
    await scrubber.ended;
    expect(() => manager.scrub(FAST)).toThrow(expect.objectContaining({ code: 'STOPPED' }));
  });

  it('keeps to its budget of bytes: one group a second leaves time for no second step', async () => {
    const { manager, device } = await openHost();
    await manager.seal(bytesSource(pattern(20 * GROUP)), { shardId: 'a' });
    const before = device.stats().readbackBytes;
    const scrubber = manager.scrub({ intervalMs: 1, bytesPerSecond: GROUP });
    await until(() => device.stats().readbackBytes > before);
    await new Promise((resolve) => setTimeout(resolve, 50));
    // One step of 8 groups of 32 bytes, with what proves the run.
    expect(device.stats().readbackBytes - before).toBeLessThan(16 * 32);
    await scrubber.stop();
    await manager.close();
  });

  it.each([
    ['the least', 2 ** 27, [8, 8, 4]],
    ['what is due in 20 ms', 2 ** 29, [20]],
    ['all that there is, where more is due', 2 ** 52, [20]],
  ])('hashes in one step %s', async (_, bytesPerSecond, expected) => {
    const runs: number[] = [];
    const { manager, recorder } = await openHost({
      wrap: (device) => wrapRegions(device, (region) => overlay(region, counted(region, runs))),
    });
    await manager.seal(bytesSource(pattern(20 * GROUP)), { shardId: 'a' });
    const scrubber = manager.scrub({ intervalMs: 60_000, bytesPerSecond });
    await until(() => passes(recorder, 'a') === 1);
    await scrubber.stop();
    expect(runs).toEqual(expected);
    await manager.close();
  });

  it('what a step took itself is not a pause on top', async () => {
    const runs: number[] = [];
    const { manager, recorder, clock } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(
            region,
            counted(region, runs, () => clock.turn(8_000)),
          ),
        ),
    });
    await manager.seal(bytesSource(pattern(16 * GROUP)), { shardId: 'a' });
    // 8 seconds for 8 groups: a pause of as long would outlast this test's time limit.
    const scrubber = manager.scrub({ intervalMs: 1, bytesPerSecond: GROUP });
    await until(() => passes(recorder, 'a') === 3);
    await scrubber.stop();
    expect(runs.slice(0, 6)).toEqual([8, 8, 8, 8, 8, 8]);
    await manager.close();
  });

  it.each([
    ['intervalMs', { intervalMs: 0 }],
    ['intervalMs', { intervalMs: Number.NaN }],
    ['intervalMs', { intervalMs: -5 }],
    // A timer of more than 2^31 - 1 ms fires at once.
    ['intervalMs', { intervalMs: 2 ** 31 }],
    ['bytesPerSecond', { bytesPerSecond: 524_287 }],
    ['bytesPerSecond', { bytesPerSecond: Number.POSITIVE_INFINITY }],
    ['bytesPerSecond', { bytesPerSecond: 2 ** 53 }],
  ])('refuses a bad %s', async (argument, options) => {
    const { manager } = await openHost();
    expect(() => manager.scrub({ ...FAST, ...options })).toThrow(
      expect.objectContaining({ code: 'INVALID_INPUT', argument }),
    );
    await manager.close();
  });

  it('an observer that fails, also a required one, does not end it', async () => {
    const recorder = new Recorder(true);
    const { manager } = await openHost({ recorder });
    await manager.seal(bytesSource(pattern(5)), { shardId: 'a' });
    let refused = 0;
    recorder.refuse = ({ operation }) => operation === 'scrub' && ++refused < 10;
    const scrubber = manager.scrub(FAST);
    await until(() => passes(recorder, 'a') > 1);
    await scrubber.stop();
    expect(refused).toBeGreaterThan(10);
    await manager.close();
  });
});
