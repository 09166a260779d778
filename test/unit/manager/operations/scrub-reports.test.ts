import { describe, expect, it } from 'vitest';
import { bytesSource, type Source } from '../../../../src/source/index.js';
import { failure, openHost, overlay, pattern, regionsOf, TestClock, wrapRegions } from '../fixture.js';

const BLOCK = 4096;

const GROUP = 524_288;

const bytes = pattern(10 * BLOCK);

/** Steps of 8 groups, the least there are. */
const FAST = { intervalMs: 60_000, bytesPerSecond: 2 ** 27 };

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

describe('scrub', () => {
  it('takes what was never checked first, in the order of sealing, then the oldest check', async () => {
    const { manager, recorder, clock } = await openHost();
    const shards = new Map<string, string>();
    for (const shardId of ['a', 'b', 'c', 'd', 'e']) {
      shards.set(shardId, JSON.stringify(await manager.seal(bytesSource(pattern(5)), { shardId })));
    }
    for (const shardId of ['d', 'a', 'c']) {
      clock.turn(1000);
      await manager.verify(shards.get(shardId) ?? '');
    }
    clock.turn(1000);
    const scrubber = manager.scrub(FAST);
    await until(() => recorder.of('scrub.finished').length === 5);
    await scrubber.stop();
    expect(recorder.of('scrub.finished').map(({ shardId }) => shardId)).toEqual(['b', 'e', 'd', 'a', 'c']);
    expect(recorder.of('scrub.finished')[0]).toMatchObject({ byteLength: 5, ok: true, durationMs: 0 });
    await manager.close();
  });

  it('begins no shard after it was stopped, and none that is in quarantine', async () => {
    const { manager, recorder } = await openHost();
    // Larger than what is checked together in one step.
    for (const shardId of ['a', 'b', 'c']) {
      const shard = await manager.seal(bytesSource(pattern(GROUP + 1)), { shardId });
      if (shardId !== 'a') continue;
      await manager.drill(shard, { seed: 1 });
      await failure(manager.verify(shard));
    }
    let stopping: Promise<void> | undefined;
    recorder.refuse = ({ type }) => {
      if (type === 'scrub.finished') stopping = scrubber.stop();
      return false;
    };
    const scrubber = manager.scrub(FAST);
    await scrubber.ended;
    await stopping;
    expect(recorder.types('scrub')).toEqual(['operation.started', 'scrub.finished', 'operation.finished']);
    expect(recorder.of('scrub.finished')).toMatchObject([{ shardId: 'b' }]);
    await manager.close();
  });

  it('that is stopped midway through a shard tells of no result for it', async () => {
    let stop: () => void = () => undefined;
    const { manager, recorder } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            nodes: async (...args: Parameters<typeof region.nodes>) => {
              stop();
              return await region.nodes(...args);
            },
          }),
        ),
    });
    await manager.seal(bytesSource(pattern(8 * GROUP + 1)), { shardId: 'a' });
    stop = () => void scrubber.stop();
    const scrubber = manager.scrub(FAST);
    await scrubber.ended;
    expect(recorder.types('scrub')).toEqual(['operation.started', 'operation.finished']);
    expect(scrubber.report()).toMatchObject([{ lastScrubbedAt: null }]);
    await manager.close();
  });

  /** A shard whose groups differ in the first look at them, and its digest in so many looks. */
  async function lying(rootLies: number, options: object = {}) {
    let nodeLies = 0;
    let roots = 0;
    const set = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            nodes: async (...args: Parameters<typeof region.nodes>) => {
              const nodes = await region.nodes(...args);
              if (nodeLies-- > 0) nodes[0] = (nodes[0] ?? 0) ^ 1;
              return nodes;
            },
            root: async () => {
              const { root, blocks } = await region.root();
              if (roots-- > 0) root[0] = (root[0] ?? 0) ^ 1;
              return { root, blocks };
            },
          }),
        ),
    });
    const shard = await set.manager.seal(bytesSource(bytes), { shardId: 'a' });
    nodeLies = 1;
    roots = rootLies;
    const scrubber = set.manager.scrub({ ...FAST, ...options });
    await until(() => set.recorder.types('scrub').includes('operation.finished'));
    await scrubber.stop();
    await set.manager.close();
    return { ...set, shard };
  }

  it('[CI-010] a group that differed once is told of as transient; the shard stays sound', async () => {
    const { recorder, shard } = await lying(0);
    expect(recorder.of('seal.verification_failed')).toMatchObject([
      {
        operation: 'scrub',
        sealId: shard.sealId,
        mode: 'sampled',
        error: {
          code: 'DEVICE_UNAVAILABLE',
          message: 'a group differed once and verified when it was hashed again',
        },
        expectedDigest: shard.fsverity,
        actualDigest: null,
        transient: true,
        damaged: [],
        damagedGroups: 0,
      },
    ]);
    expect(recorder.of('scrub.finished')).toMatchObject([{ ok: false }]);
    expect(recorder.of('seal.verified')).toMatchObject([{ mode: 'resident', operation: 'scrub' }]);
  });

  it('[CI-010] a verification that finds two digests is a failure of the device, and no result', async () => {
    const { recorder } = await lying(1);
    expect(recorder.of('seal.verification_failed')).toMatchObject([{ mode: 'resident', transient: true }]);
    expect(recorder.of('scrub.finished')).toEqual([]);
    expect(recorder.of('operation.finished').find(({ operation }) => operation === 'scrub')).toMatchObject({
      ok: false,
      error: { code: 'DEVICE_UNAVAILABLE' },
    });
  });

  it('[ST-001] damage is found by a whole verification in place; without a source nothing is healed', async () => {
    const { recorder } = await lying(2, { heal: true });
    expect(recorder.of('seal.verification_failed')).toMatchObject([
      { mode: 'resident', transient: false, actualDigest: expect.stringMatching(/^fsverity-/) },
    ]);
    expect(recorder.of('scrub.finished')).toMatchObject([{ ok: false }]);
    expect(recorder.of('heal.failed')).toEqual([]);
  });

  it('heals under a signal, which fires when the manager closes', async () => {
    for (const closes of [false, true]) {
      const clock = new TestClock();
      const signals: unknown[] = [];
      let closing: Promise<void> | undefined;
      const seen = regionsOf((device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            patch: async (...args: Parameters<typeof region.patch>) => {
              signals.push('patched');
              await region.patch(...args);
            },
          }),
        ),
      );
      const { manager, recorder } = await openHost({ wrap: seen.wrap, options: { clock } });
      let closed = 0;
      const source: Source = { ...bytesSource(bytes), close: async () => void closed++ };
      const reopen = async (): Promise<Source> => {
        if (closes) closing = manager.close();
        return source;
      };
      await manager.seal(bytesSource(bytes), { shardId: 'a', reopen });
      await seen.flip(0, 0, 1);
      const scrubber = manager.scrub({ ...FAST, heal: true });
      await until(() => recorder.of('scrub.finished').length > 0);
      await scrubber.stop();
      await closing;
      expect(closed).toBe(1);
      expect(signals).toEqual(closes ? [] : ['patched']);
      expect(recorder.of('heal.failed').map(({ error }) => error.code)).toEqual(closes ? ['ABORTED'] : []);
      expect(recorder.of('shard.healed')).toHaveLength(closes ? 0 : 1);
      await manager.close();
    }
  });

  it('that is stopped while its healing reads the source ends the healing, and writes nothing', async () => {
    const seen = regionsOf();
    const { manager, recorder, device } = await openHost({ wrap: seen.wrap });
    let stopping: Promise<void> | undefined;
    const source: Source = {
      ...bytesSource(bytes),
      readRange: async (offset, length) => {
        stopping = scrubber.stop();
        return bytes.slice(offset, offset + length);
      },
    };
    await manager.seal(bytesSource(bytes), { shardId: 'a', reopen: async () => source });
    await seen.flip(0, 0, 1);
    const before = device.stats().uploadedBytes;
    const scrubber = manager.scrub({ ...FAST, heal: true });
    await scrubber.ended;
    await stopping;
    expect(recorder.of('heal.failed')).toMatchObject([{ shardId: 'a', error: { code: 'ABORTED' } }]);
    expect(recorder.of('shard.healed')).toEqual([]);
    expect(device.stats().uploadedBytes).toBe(before);
    expect(manager.status().quarantined).toEqual(['a']);
    await manager.close();
  });

  it.each<[string, object]>([
    ['"intervalMs" must be an integer from 1 to 2147483647, got 0', { intervalMs: 0 }],
    ['"intervalMs" must be an integer from 1 to 2147483647, got 2147483648', { intervalMs: 2 ** 31 }],
    ['"bytesPerSecond" must be an integer of at least 524288, got 524287', { bytesPerSecond: 524_287 }],
  ])('refuses with words: %s', async (message, options) => {
    const { manager } = await openHost();
    expect(() => manager.scrub({ ...FAST, ...options })).toThrow(
      expect.objectContaining({ code: 'INVALID_INPUT', message }),
    );
    await manager.scrub({ intervalMs: 2 ** 31 - 1, bytesPerSecond: 524_288 }).stop();
    await manager.close();
  });
});
