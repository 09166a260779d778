import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import type { RootOptions } from '../../../../src/device/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, overlay, pattern, Recorder, regionsOf, wrapRegions } from '../fixture.js';

const bytes = pattern(10_000);

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 3));

describe('execute', () => {
  it.each<[string, object]>([
    ['"maxAgeMs" must be a finite number of milliseconds, at least 0', { maxAgeMs: -1 }],
    ['"maxAgeMs" must be a finite number of milliseconds, at least 0', { maxAgeMs: Number.NaN }],
    ['"maxAgeMs" must be a finite number of milliseconds, at least 0', { maxAgeMs: '5' }],
    ['"recheck" must be true or false', { recheck: 1 }],
  ])('refuses with words: %s', async (message, options) => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    expect(await failure(manager.execute(shard, () => 0, options))).toMatchObject({
      code: 'INVALID_INPUT',
      message,
    });
    expect(await failure(manager.execute(shard, JSON.parse('5')))).toMatchObject({
      message: '"run" must be a function that takes a lease',
    });
    expect(await manager.execute(shard, () => 3, { maxAgeMs: 0, recheck: false })).toBe(3);
    await manager.close();
  });

  it('[AU-001] tells each step whole, with the time it took', async () => {
    const { manager, recorder, clock } = await openHost();
    const shard = await manager.seal(bytesSource(bytes), { shardId: 'a' });
    recorder.events.length = 0;
    clock.monotonicMs = 1000;
    const execute = (run: () => unknown, options = {}): Promise<unknown> =>
      manager.execute(shard, run, { tensor: { byteOffset: 8, byteLength: 16 }, ...options });
    await execute(() => clock.turn(30));
    const { sealId } = shard;
    const shapes = recorder.events.map(({ type, durationMs, monotonicMs, shardId }) => ({
      type,
      durationMs,
      monotonicMs,
      shardId,
    }));
    expect(shapes).toEqual([
      { type: 'operation.started', durationMs: null, monotonicMs: 1000, shardId: null },
      { type: 'operation.stage', durationMs: 0, monotonicMs: 1000, shardId: 'a' },
      { type: 'seal.verified', durationMs: 0, monotonicMs: 1000, shardId: 'a' },
      { type: 'operation.stage', durationMs: 30, monotonicMs: 1030, shardId: 'a' },
      { type: 'execution.finished', durationMs: 30, monotonicMs: 1030, shardId: 'a' },
      { type: 'operation.finished', durationMs: 30, monotonicMs: 1030, shardId: 'a' },
    ]);
    expect(recorder.of('operation.stage')).toMatchObject([
      { stage: 'device-tree', byteLength: 10_000, startedMonotonicMs: 1000 },
      { stage: 'run', byteLength: 16, startedMonotonicMs: 1000 },
    ]);
    // A good one from before is not a verification of its own.
    await execute(() => 0, { maxAgeMs: 1e6 });
    const own = new VramError('NOT_FOUND', 'mine');
    await failure(
      execute(() => {
        clock.turn(5);
        throw own;
      }),
    );
    const told = { sealId, ok: true, verifiedMs: 0, error: null, durationMs: 30 };
    expect(recorder.of('execution.finished')).toMatchObject([
      told,
      { ...told, verifiedMs: null, durationMs: 0 },
      {
        ...told,
        ok: false,
        durationMs: 5,
        error: { code: 'NOT_FOUND', kind: 'invalid', scope: null, message: 'mine' },
      },
    ]);
    await manager.close();
  });

  it('a verification counts to the last millisecond of maxAgeMs', async () => {
    const { manager, recorder, clock } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    await manager.verify(shard);
    const verified = (): number => recorder.of('seal.verified').length;
    clock.turn(10);
    await manager.execute(shard, () => 0, { maxAgeMs: 10 });
    expect(verified()).toBe(1);
    await manager.execute(shard, () => 0, { maxAgeMs: 9.5 });
    expect(verified()).toBe(2);
    await manager.close();
  });

  it('a lease ends before its result is returned, also when the callback throws, and is on no list any more', async () => {
    const ends: string[] = [];
    const seen = regionsOf((device) =>
      wrapRegions(device, (region) =>
        overlay(region, {
          view: (offset: number, length: number) => {
            const view = region.view(offset, length);
            return overlay(view, {
              end: async () => {
                ends.push('ended');
                await view.end();
              },
            });
          },
        }),
      ),
    );
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await manager.execute(shard, () => ends.push('ran'));
    await failure(
      manager.execute(shard, () => {
        ends.push('threw');
        throw new Error('mine');
      }),
    );
    expect(ends).toEqual(['ran', 'ended', 'threw', 'ended']);
    await seen.flip(0, 1, 1);
    await failure(manager.verify(shard));
    expect(recorder.of('shard.quarantined')).toMatchObject([{ leasesRevoked: 0 }]);
    await manager.close();
  });

  it('the signal reaches both verifications, and none does without one', async () => {
    const given: unknown[] = [];
    const { manager } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            root: async (options?: RootOptions) => {
              given.push(options?.signal);
              return await region.root();
            },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(bytes));
    given.length = 0;
    const { signal } = new AbortController();
    await manager.execute(shard, () => 0, { recheck: true, signal });
    await manager.execute(shard, () => 0, { recheck: true });
    expect(given).toEqual([signal, signal, undefined, undefined]);
    await manager.close();
  });

  it('aborted by the caller while it verifies: the callback does not run', async () => {
    const aborting = new AbortController();
    let armed = false;
    const { manager } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            root: async () => {
              if (armed) aborting.abort('enough');
              return await region.root();
            },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(bytes));
    armed = true;
    let ran = 0;
    const error = await failure(manager.execute(shard, () => ++ran, { signal: aborting.signal }));
    expect(error).toMatchObject({ code: 'ABORTED', cause: 'enough' });
    expect(ran).toBe(0);
    await manager.close();
  });

  it('damage that a second look finds while it rechecks keeps the result back', async () => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await failure(manager.execute(shard, () => seen.flip(0, 0, 1), { recheck: true }));
    expect(recorder.of('execution.finished')).toMatchObject([
      { ok: false, error: { code: 'INTEGRITY_VIOLATION' } },
    ]);
    const message = `shard "${shard.shardId}" is in quarantine: its resident bytes were found damaged; heal or release it`;
    expect((await failure(manager.execute(shard, () => 0))).message).toBe(message);
    await manager.close();
  });

  it('that is refused because the manager closes while it waits says so, not that the caller gave up', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    let waiting: Promise<unknown> = Promise.resolve();
    let healing: Promise<unknown> = Promise.resolve();
    let closing: Promise<unknown> = Promise.resolve();
    const outer = failure(
      manager.execute(shard, async () => {
        healing = failure(manager.heal(shard, bytesSource(bytes)));
        await soon();
        waiting = failure(manager.execute(shard, () => 0));
        await soon();
        closing = manager.close();
        await soon();
      }),
    );
    for (const ended of [await outer, await waiting, await healing]) {
      expect(ended).toMatchObject({ code: 'STOPPED', message: 'the manager is closed' });
    }
    await closing;
    expect(recorder.of('execution.finished')).toMatchObject([
      { ok: false, error: { code: 'STOPPED' } },
      { ok: false, error: { code: 'STOPPED' } },
    ]);
  });

  it('[AU-005] a failure that could not be recorded is thrown as it is', async () => {
    const recorder = new Recorder(true);
    const { manager } = await openHost({ recorder });
    const shard = await manager.seal(bytesSource(bytes));
    recorder.refuse = ({ type }) => type === 'execution.finished';
    const own = new Error('mine');
    const thrown = await failure(
      manager.execute(shard, () => {
        throw own;
      }),
    );
    expect(thrown).toBe(own);
    await manager.close();
  });
});
