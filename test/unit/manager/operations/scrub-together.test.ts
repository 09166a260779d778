import { describe, expect, it } from 'vitest';
import type { Region } from '../../../../src/device/types.js';
import type { SealedShard } from '../../../../src/seal/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { openHost, overlay, pattern, regionsOf, wrapRegions } from '../fixture.js';

const GROUP = 524_288;
/** Steps of 8 groups, the least there are. */
const FAST = { intervalMs: 1, bytesPerSecond: 2 ** 27 };

/** The test's own time limit is the way out. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** Whoever has nothing to wait for has gone on by then. */
async function idle(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 20));
}

/** A host manager whose device counts the hashes of groups that are asked for at once, and may hold them up. */
async function opened(sizes: readonly number[], meanwhile: (run: number) => void = () => undefined) {
  const seen = { waiting: 0, runs: 0 };
  const held: (() => void)[] = [];
  let holds = false;
  const set = await openHost({
    wrap: (device) =>
      wrapRegions(device, (region) =>
        overlay(region, {
          nodes: async (...args: Parameters<Region['nodes']>) => {
            seen.waiting++;
            meanwhile(++seen.runs);
            if (holds) await new Promise<void>((resolve) => held.push(resolve));
            seen.waiting--;
            return await region.nodes(...args);
          },
        }),
      ),
  });
  const shards: SealedShard[] = [];
  for (const [index, size] of sizes.entries()) {
    shards.push(await set.manager.seal(bytesSource(pattern(size, index + 1)), { shardId: `${index}` }));
  }
  seen.runs = 0;
  return {
    ...set,
    shard: (index: number): SealedShard => {
      const shard = shards[index];
      if (shard === undefined) throw new Error(`there is no shard ${index}`);
      return shard;
    },
    seen,
    hold: () => {
      holds = true;
    },
    letGo: () => {
      for (const go of held.splice(0)) go();
    },
    finished: () => set.recorder.of('scrub.finished').map(({ shardId }) => shardId),
  };
}

describe('small shards are scrubbed together', () => {
  it('neighbours come to the device at the same time, larger shards by themselves', async () => {
    const set = await opened([5, GROUP, 4097, GROUP + 1, 9, 10]);
    set.hold();
    const scrubber = set.manager.scrub({ ...FAST, intervalMs: 60_000 });
    for (const expected of [3, 1, 2]) {
      await until(() => set.seen.waiting === expected);
      await idle();
      expect(set.seen.waiting).toBe(expected);
      set.letGo();
    }
    await until(() => set.finished().length === 6);
    expect(set.recorder.of('scrub.finished').every(({ ok }) => ok)).toBe(true);
    await scrubber.stop();
    await set.manager.close();
  });

  it('no more of them than a step has groups, and never more than 128', async () => {
    const set = await opened(Array.from({ length: 130 }, () => 5));
    for (const [bytesPerSecond, most] of [
      [FAST.bytesPerSecond, 8],
      [2 ** 52, 128],
    ] as const) {
      set.hold();
      const scrubber = set.manager.scrub({ intervalMs: 60_000, bytesPerSecond });
      await until(() => set.seen.waiting === most);
      await idle();
      expect(set.seen.waiting).toBe(most);
      const stopped = scrubber.stop();
      set.letGo();
      await stopped;
    }
    await set.manager.close();
  });

  it('one that is leased is yielded to, while the others are checked', async () => {
    const set = await opened([5, 6, 7]);
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let began = false;
    const running = set.manager.execute(set.shard(1), () => {
      began = true;
      return held;
    });
    await until(() => began);
    const scrubber = set.manager.scrub({ ...FAST, intervalMs: 60_000 });
    await until(() => set.finished().length === 2);
    await idle();
    expect(set.finished().sort()).toEqual(['0', '2']);
    release();
    await running;
    await until(() => set.finished().length === 3);
    await scrubber.stop();
    await set.manager.close();
  });

  it('a lease that is asked for meanwhile waits for none of them', async () => {
    const set = await opened([5, 6, 7]);
    set.hold();
    const scrubber = set.manager.scrub({ ...FAST, intervalMs: 60_000 });
    await until(() => set.seen.waiting === 3);
    expect(await set.manager.execute(set.shard(1), () => 'at once')).toBe('at once');
    expect(set.seen.waiting).toBe(3);
    set.letGo();
    await scrubber.stop();
    await set.manager.close();
  });

  it('pauses for all of them: two groups at a group a second take two seconds', async () => {
    // The run of both takes one second by the test's clock, which then stands still: a second is left to pause.
    const set = await opened([5, 6], (run) => {
      if (run === 1) set.clock.turn(1000);
    });
    const scrubber = set.manager.scrub({ intervalMs: 60_000, bytesPerSecond: GROUP });
    await until(() => set.seen.runs === 2);
    await idle();
    expect(set.finished()).toEqual([]);
    await scrubber.stop();
    expect(set.finished().sort()).toEqual(['0', '1']);
    await set.manager.close();
  });

  it('[ST-001] damage in one of them quarantines it alone', async () => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    for (const shardId of ['a', 'b', 'c']) await manager.seal(bytesSource(pattern(9)), { shardId });
    await seen.flip(1, 3, 1);
    const scrubber = manager.scrub({ ...FAST, intervalMs: 60_000 });
    await until(() => recorder.of('scrub.finished').length === 3);
    await scrubber.stop();
    const outcomes = recorder.of('scrub.finished').map(({ shardId, ok }) => [shardId, ok]);
    expect(Object.fromEntries(outcomes)).toEqual({ a: true, b: false, c: true });
    expect(manager.status().quarantined).toEqual(['b']);
    await manager.close();
  });
});
