import { describe, expect, it } from 'vitest';
import { bytesSource, type Source } from '../../../../src/source/index.js';
import { failure, openHost, overlay, pattern, Recorder, regionsOf, wrapRegions } from '../fixture.js';

const BLOCK = 4096;

const bytes = pattern(10 * BLOCK);

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 3));

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
