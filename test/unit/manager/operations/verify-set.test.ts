import { describe, expect, it } from 'vitest';
import type { SetReport } from '../../../../src/base/errors.js';
import type { VramManager } from '../../../../src/manager/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, pattern, regionsOf } from '../fixture.js';

const bytes = pattern(10_000);

describe('[WK-001] tensor-parallel sets', () => {
  const seal = (
    manager: Awaited<ReturnType<typeof openHost>>['manager'],
    shardIndex: number,
    totalShards = 3,
    modelRef = 'm',
  ) => manager.seal(bytesSource(pattern(5000, shardIndex + 1)), { modelRef, shardIndex, totalShards });

  it('verifySet verifies all of them and names the missing', async () => {
    const { manager } = await openHost();
    expect(await failure(manager.verifySet('m'))).toMatchObject({
      code: 'NOT_FOUND',
      report: { totalShards: null },
    });
    await seal(manager, 2);
    await seal(manager, 0, 2, 'other');
    const error = await failure(manager.verifySet('m'));
    expect(error).toMatchObject({
      code: 'NOT_FOUND',
      report: { verified: false, missing: [0, 1], totalShards: 3 },
    });
    expect(error.message).toContain('0, 1');
    await seal(manager, 0);
    const last = await seal(manager, 1);
    const report = await manager.verifySet('m');
    expect(report).toMatchObject({ verified: true, missing: [], totalShards: 3, modelRef: 'm' });
    expect(report.shards.map(({ shardIndex, report: one }) => [shardIndex, one?.verified])).toEqual([
      [2, true],
      [0, true],
      [1, true],
    ]);
    await manager.release(last);
    expect(await failure(manager.verifySet('m'))).toMatchObject({ report: { missing: [1] } });
    await manager.close();
  });

  it('a sample of every member is a verification of none', async () => {
    const { manager } = await openHost();
    for (const index of [0, 1]) await seal(manager, index, 3);
    const options = { mode: 'sampled', groups: 1 } as const;
    expect(await failure(manager.verifySet('m', options))).toMatchObject({
      code: 'NOT_FOUND',
      report: { verified: false, sampled: true, missing: [2] },
    });
    await seal(manager, 2);
    const report = await manager.verifySet('m', options);
    expect(report).toMatchObject({ verified: false, sampled: true, missing: [] });
    expect(report.shards.map(({ report: one }) => [one?.verified, one?.sampled])).toEqual(
      [0, 1, 2].map(() => [false, true]),
    );
    expect(await manager.verifySet('m')).toMatchObject({ verified: true, sampled: false });
    await manager.close();
  });

  it('a damaged member does not keep the others from being verified', async () => {
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap });
    for (const index of [0, 1, 2]) await seal(manager, index);
    await seen.flip(1, 0, 1);
    const error = await failure(manager.verifySet('m'));
    expect(error).toMatchObject({ code: 'INTEGRITY_VIOLATION', cause: { code: 'INTEGRITY_VIOLATION' } });
    const { shards } = error.report as SetReport;
    expect(shards.map(({ report, error: failed }) => report?.verified ?? failed?.code)).toEqual([
      true,
      'INTEGRITY_VIOLATION',
      true,
    ]);
    await manager.close();
  });

  it('one place belongs to one live shard, and all members agree on how many there are, also at the same time', async () => {
    const { manager } = await openHost();
    const both = await Promise.allSettled([seal(manager, 0), seal(manager, 0)]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(await failure(seal(manager, 1, 4))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'totalShards',
    });
    expect(await failure(seal(manager, 0))).toMatchObject({ code: 'INVALID_INPUT', argument: 'shardIndex' });
    // A shard of the same model that is in no set stands beside them.
    await manager.seal(bytesSource(pattern(5)), { modelRef: 'm' });
    await seal(manager, 1);
    await manager.close();
  });

  it('refuses a model that is not a label', async () => {
    const { manager } = await openHost();
    for (const modelRef of ['', 'a\0', JSON.parse('5')]) {
      expect(await failure(manager.verifySet(modelRef))).toMatchObject({
        code: 'INVALID_INPUT',
        argument: 'modelRef',
      });
    }
    await manager.close();
  });

  it('[NA-003] a set is told of under one correlation id, its refusal too', async () => {
    const { manager, recorder } = await openHost();
    for (const index of [0, 1, 2]) await seal(manager, index);
    const sealed = recorder.events.length;
    await manager.verifySet('m');
    const told = recorder.events.slice(sealed);
    expect(told.filter(({ type }) => type === 'seal.verified')).toHaveLength(3);
    expect(new Set(told.map(({ correlationId }) => correlationId)).size).toBe(1);
    expect(told.at(-1)).toMatchObject({ type: 'operation.finished', ok: true, shardId: null });
    await manager.verifySet('m', { correlationId: 'mine' });
    const mine = recorder.of('seal.verified').filter(({ correlationId }) => correlationId === 'mine');
    expect(mine.map(({ shardId }) => shardId)).toHaveLength(3);
    expect(await failure(manager.verifySet('a\0'))).toMatchObject({ argument: 'modelRef' });
    expect(recorder.of('validation.failed')).toMatchObject([{ argument: 'modelRef', operation: 'verify' }]);
    await manager.close();
  });
});

describe('sets', () => {
  const seal = (manager: VramManager, shardIndex: number, totalShards = 3) =>
    manager.seal(bytesSource(pattern(5000, shardIndex)), {
      shardId: `s${shardIndex}`,
      modelRef: 'm',
      shardIndex,
      totalShards,
    });

  it('know their size from whichever shard tells it, and are not verified if one of them is damaged', async () => {
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap });
    await manager.seal(bytesSource(pattern(5000)), { shardId: 'alone', modelRef: 'm' });
    for (const shardIndex of [0, 1]) await seal(manager, shardIndex, 2);
    expect(await manager.verifySet('m')).toMatchObject({ verified: true, totalShards: 2, missing: [] });
    await seen.flip(2, 0, 1);
    expect(await failure(manager.verifySet('m'))).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      report: { verified: false, totalShards: 2, missing: [] },
    });
    await manager.close();
  });

  it('that are not whole say what is missing, and report all of it', async () => {
    const { manager } = await openHost();
    const none = await failure(manager.verifySet('m'));
    expect(none).toMatchObject({
      code: 'NOT_FOUND',
      message: 'the set "m" is incomplete: no shard of it is live',
    });
    expect(none.report).toEqual({
      modelRef: 'm',
      verified: false,
      sampled: false,
      totalShards: null,
      missing: [],
      shards: [],
    });
    await seal(manager, 1);
    const some = await failure(manager.verifySet('m'));
    expect(some).toMatchObject({
      code: 'NOT_FOUND',
      message: 'the set "m" is incomplete: shards 0, 2 of 3 are missing',
    });
    expect(some.report).toEqual({
      modelRef: 'm',
      verified: false,
      sampled: false,
      totalShards: 3,
      missing: [0, 2],
      shards: [
        {
          shardId: 's1',
          shardIndex: 1,
          error: null,
          report: expect.objectContaining({ verified: true, shardId: 's1' }),
        },
      ],
    });
    expect(Object.isFrozen(some.report)).toBe(true);
    await manager.close();
  });

  it('of one shard that is in no set are whole', async () => {
    const { manager } = await openHost();
    await manager.seal(bytesSource(bytes), { shardId: 'a', modelRef: 'm' });
    await manager.seal(bytesSource(bytes), { shardId: 'b', modelRef: 'other' });
    await manager.seal(bytesSource(bytes), { shardId: 'c' });
    expect(await manager.verifySet('m')).toEqual({
      modelRef: 'm',
      verified: true,
      sampled: false,
      totalShards: null,
      missing: [],
      shards: [{ shardId: 'a', shardIndex: null, error: null, report: expect.objectContaining({}) }],
    });
    await manager.close();
  });

  it('with a damaged member name it before what is missing', async () => {
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap });
    await seal(manager, 0);
    await seal(manager, 1);
    await seen.flip(1, 0, 1);
    const error = await failure(manager.verifySet('m'));
    expect(error).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      message:
        `shard "s1" of "m": the resident bytes of shard "s1" are damaged: 1 group of 512 KiB; heal it from its ` +
        `source or release it`,
      cause: { code: 'INTEGRITY_VIOLATION' },
      report: {
        verified: false,
        totalShards: 3,
        missing: [2],
        shards: [
          { shardId: 's0', error: null },
          { shardId: 's1', shardIndex: 1, report: null, error: { code: 'INTEGRITY_VIOLATION' } },
        ],
      },
    });
    await manager.close();
  });

  it("end at once with the caller's own error, or when the caller gives up", async () => {
    const { manager, recorder } = await openHost();
    await seal(manager, 0);
    await seal(manager, 1);
    const own = new Error('mine');
    const thrown = await failure(
      manager.verifySet('m', {
        onProgress: () => {
          throw own;
        },
      }),
    );
    expect(thrown).toBe(own);
    expect(recorder.of('seal.verified')).toEqual([]);
    const aborting = new AbortController();
    const given = manager.verifySet('m', {
      signal: aborting.signal,
      onProgress: () => aborting.abort('enough'),
    });
    expect(await failure(given)).toMatchObject({ code: 'ABORTED', cause: 'enough' });
    // They are verified together: what had been found by then is on record.
    expect(recorder.of('seal.verified').map(({ shardId }) => shardId)).toEqual(['s0', 's1']);
    await manager.close();
  });
});
