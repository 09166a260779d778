import { describe, expect, it } from 'vitest';
import { bytesSource, type Source } from '../../src/source/index.js';
import {
  failure,
  openHost,
  overlay,
  pattern,
  Recorder,
  regionsOf,
  TestClock,
  wrapRegions,
} from './manager-fixture.js';

const BLOCK = 4096;
const GROUP = 524_288;
const bytes = pattern(10 * BLOCK);
/** Steps of 8 groups, the least there are. */
const FAST = { intervalMs: 60_000, bytesPerSecond: 2 ** 27 };
const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 3));

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

describe('heal', () => {
  it.each([
    ['leaves', 8 * BLOCK],
    ['groups', 20 * BLOCK],
  ] as const)('[AU-001] reports and tells what it did, in order: %s kept', async (keep, sourceBytes) => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({ wrap: seen.wrap, options: { keep } });
    const shard = await manager.seal(bytesSource(bytes), { shardId: 'a' });
    for (const block of [7, 1, 2, 3]) await seen.flip(0, block * BLOCK, 1);
    recorder.events.length = 0;
    const { sealId, fsverity } = shard;
    const healed = [
      { firstBlock: 1, blocks: 3, byteOffset: BLOCK, byteLength: 3 * BLOCK },
      { firstBlock: 7, blocks: 1, byteOffset: 7 * BLOCK, byteLength: BLOCK },
    ];
    const source = { ...bytesSource(bytes), label: 'weights' };
    const report = await manager.heal(shard, source);
    expect(report).toEqual({
      shardId: 'a',
      sealId,
      healedBlocks: 4,
      healed,
      sourceBytes,
      fsverity,
      durationMs: 0,
    });
    expect(Object.isFrozen(report)).toBe(true);
    expect(
      recorder.events.map((event) => [
        event.operation,
        event.type === 'operation.stage' ? `${event.stage} ${event.byteLength}` : event.type,
        event.durationMs,
      ]),
    ).toEqual([
      ['heal', 'operation.started', null],
      ['heal', 'shard.quarantined', null],
      ['heal', 'compare null', 0],
      ['heal', 'patch null', 0],
      ['heal', `device-tree ${bytes.length}`, 0],
      ['heal', 'shard.healed', 0],
      ['heal', 'operation.finished', 0],
    ]);
    expect(recorder.of('shard.healed')).toMatchObject([
      { sealId, healedBlocks: 4, healed, source: 'weights' },
    ]);
    expect(recorder.of('operation.started')[0]?.operationId).toBe('heal-3');
    await manager.close();
  });

  it('of what is sound reads nothing and says so', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    expect(await manager.heal(shard, bytesSource(bytes))).toMatchObject({
      healedBlocks: 0,
      healed: [],
      sourceBytes: 0,
    });
    expect(recorder.of('shard.quarantined')).toEqual([]);
    await manager.close();
  });

  it('goes on with damage that comes meanwhile, and reports all blocks ascending', async () => {
    const later = [2, 8];
    const patched: number[] = [];
    const seen = regionsOf((device) =>
      wrapRegions(device, (region) =>
        overlay(region, {
          patch: async (block: number, given: Uint8Array) => {
            patched.push(block);
            await region.patch(block, given);
            const next = later.shift();
            if (next !== undefined) await seen.flip(0, next * BLOCK, 1);
          },
        }),
      ),
    );
    const { manager } = await openHost({ wrap: seen.wrap, options: { keep: 'leaves' } });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 5 * BLOCK, 1);
    const { healed, healedBlocks } = await manager.heal(shard, bytesSource(bytes));
    expect(patched).toEqual([5, 2, 8]);
    expect([healedBlocks, healed.map(({ firstBlock }) => firstBlock)]).toEqual([3, [2, 5, 8]]);
    await manager.close();
  });

  it('gives memory up that goes on failing, after three rounds', async () => {
    let patches = 0;
    const seen = regionsOf((device) =>
      wrapRegions(device, (region) => overlay(region, { patch: async () => void patches++ })),
    );
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 0, 1);
    const message = 'the bytes were damaged again 3 times while they were healed; release the shard';
    expect(await failure(manager.heal(shard, bytesSource(bytes)))).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      message,
    });
    expect(patches).toBe(3);
    expect(recorder.of('heal.failed')).toMatchObject([
      { sealId: shard.sealId, error: { code: 'INTEGRITY_VIOLATION', message }, durationMs: 0 },
    ]);
    expect(manager.status().quarantined).toEqual([shard.shardId]);
    await manager.close();
  });

  it('[CI-010] a device that contradicts itself afterwards lifts no quarantine', async () => {
    let lies = 0;
    const seen = regionsOf((device) =>
      wrapRegions(device, (region) =>
        overlay(region, {
          root: async () => {
            const { root, blocks } = await region.root();
            if (lies-- > 0) root[0] = (root[0] ?? 0) ^ 1;
            return { root, blocks };
          },
        }),
      ),
    );
    const { manager } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 0, 1);
    lies = 1;
    expect(await failure(manager.heal(shard, bytesSource(bytes)))).toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: 'the device gave two digests of the same bytes',
    });
    expect(manager.status().quarantined).toEqual([shard.shardId]);
    await manager.close();
  });

  it.each<[string, unknown, string]>([
    ['null', null, '"source" must be a source: see fileSource, urlSource, bytesSource and streamSource'],
    ['a number', 5, '"source" must be a source: see fileSource, urlSource, bytesSource and streamSource'],
    [
      'a source without a stream',
      { ...bytesSource(bytes), stream: undefined },
      '"source" must be a source: see fileSource, urlSource, bytesSource and streamSource',
    ],
    [
      'a function',
      Object.assign(() => undefined, bytesSource(bytes)),
      '"source" must be a source: see fileSource, urlSource, bytesSource and streamSource',
    ],
    [
      'a stream alone',
      { ...bytesSource(bytes), readRange: undefined },
      '"source" cannot be read at a position, so it cannot heal',
    ],
  ])('refuses %s for a source, and takes nothing for failed', async (_name, source, message) => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    expect(await failure(manager.heal(shard, source as Source))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'source',
      message,
    });
    expect(recorder.of('heal.failed')).toEqual([]);
    await manager.close();
  });

  it('a source of other bytes heals nothing, and is named', async () => {
    for (const keep of ['leaves', 'groups'] as const) {
      const seen = regionsOf();
      const { manager, recorder } = await openHost({ wrap: seen.wrap, options: { keep } });
      const shard = await manager.seal(bytesSource(bytes));
      await seen.flip(0, 0, 1);
      for (const other of [pattern(bytes.length, 2), pattern(bytes.length - 1)]) {
        const source = { ...bytesSource(other), label: 'others' };
        expect(await failure(manager.heal(shard, source))).toMatchObject({
          code: 'SOURCE_MISMATCH',
          message: 'the source "others" does not hold the bytes that were sealed; nothing was healed',
        });
      }
      expect(recorder.of('heal.failed')).toMatchObject([
        { sealId: shard.sealId, error: { code: 'SOURCE_MISMATCH' } },
        { sealId: shard.sealId, error: { code: 'SOURCE_MISMATCH' } },
      ]);
      await manager.close();
    }
  });

  it('[AU-005] writes nothing before the damage that it found is on record', async () => {
    let patches = 0;
    const recorder = new Recorder(true);
    const seen = regionsOf((device) =>
      wrapRegions(device, (region) => overlay(region, { patch: async () => void patches++ })),
    );
    const { manager } = await openHost({ recorder, wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 0, 1);
    recorder.refuse = ({ type }) => type === 'shard.quarantined';
    expect(await failure(manager.heal(shard, bytesSource(bytes)))).toMatchObject({ code: 'AUDIT_FAILED' });
    expect(patches).toBe(0);
    await manager.close();
  });

  it('works under a signal that the device is told of, and ends with the device, not with its turn', async () => {
    const signals: unknown[] = [];
    const seen = regionsOf((device) =>
      wrapRegions(device, (region) =>
        overlay(region, {
          nodes: async (...args: Parameters<typeof region.nodes>) => {
            signals.push(args[3]?.signal instanceof AbortSignal);
            return await region.nodes(...args);
          },
        }),
      ),
    );
    const { manager } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 0, 1);
    await manager.heal(shard, bytesSource(bytes));
    expect(new Set(signals)).toEqual(new Set([true]));
    let closing: Promise<void> = Promise.resolve();
    const leased = failure(
      manager.execute(shard, async () => {
        const healing = failure(manager.heal(shard, bytesSource(bytes)));
        await soon();
        closing = manager.close();
        // While the lease that it waited for still runs.
        expect(await healing).toMatchObject({ code: 'STOPPED', message: 'the manager is closed' });
      }),
    );
    expect(await leased).toMatchObject({ code: 'STOPPED' });
    await closing;
  });

  it('is aborted while it reads: nothing is written', async () => {
    for (const keep of ['leaves', 'groups'] as const) {
      let patches = 0;
      const seen = regionsOf((device) =>
        wrapRegions(device, (region) => overlay(region, { patch: async () => void patches++ })),
      );
      const { manager } = await openHost({ wrap: seen.wrap, options: { keep } });
      const shard = await manager.seal(bytesSource(bytes));
      await seen.flip(0, 0, 1);
      const aborting = new AbortController();
      const source: Source = {
        ...bytesSource(bytes),
        readRange: async (offset, length) => {
          aborting.abort('enough');
          return bytes.slice(offset, offset + length);
        },
      };
      const error = await failure(manager.heal(shard, source, { signal: aborting.signal }));
      expect(error).toMatchObject({ code: 'ABORTED', cause: 'enough' });
      expect(patches).toBe(0);
      await manager.close();
    }
  });
});

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
    for (const shardId of ['a', 'b', 'c']) {
      const shard = await manager.seal(bytesSource(pattern(5)), { shardId });
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
          message: 'a group differed once and verified when it was looked at again',
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
