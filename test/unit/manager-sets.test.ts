import { describe, expect, it } from 'vitest';
import type { SetReport } from '../../src/base/errors.js';
import type { VerificationReport } from '../../src/base/reports.js';
import { chanceOfMiss, drawGroups } from '../../src/manager/integrity/sample.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { bytesSource } from '../../src/source/index.js';
import { failure, openHost, pattern, Recorder, regionsOf } from './manager-fixture.js';

const GROUP = 524_288;

describe('sampled verification', () => {
  const bytes = pattern(8 * GROUP + 1);

  it('looks at that many groups, says what it may have missed, and never counts as whole', async () => {
    const { manager, device } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const before = device.stats().readbackBytes;
    const report = await manager.verify(shard, { mode: 'sampled', groups: 3 });
    expect(device.stats().readbackBytes - before).toBeLessThan(3 * 200);
    expect(report).toMatchObject({
      verified: false,
      sampled: true,
      mode: 'sampled',
      actual: null,
      expected: shard.fsverity,
    });
    expect(report.sample).toEqual({
      groups: 3,
      totalGroups: 9,
      chanceOfMiss: [
        { damagedGroups: 1, chance: expect.closeTo(6 / 9, 12) },
        { damagedGroups: 2, chance: expect.closeTo((6 * 5) / (9 * 8), 12) },
        { damagedGroups: 4, chance: expect.closeTo((6 * 5 * 4 * 3) / (9 * 8 * 7 * 6), 12) },
        { damagedGroups: 8, chance: 0 },
      ],
    });
    expect(await manager.verify(shard)).toMatchObject({ verified: true, sampled: false, sample: null });
    await manager.close();
  });

  it('finds damage in what it drew: all groups are drawn in the long run, and all of them at once if asked for', async () => {
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap, options: { keep: 'leaves' } });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 5 * GROUP + 4096, 2);
    let missed = 0;
    let error: (Error & { report?: unknown }) | undefined;
    while (error === undefined && missed < 500) {
      try {
        await manager.verify(shard, { mode: 'sampled', groups: 1 });
        missed++;
      } catch (caught) {
        if (caught instanceof Error) error = caught;
      }
    }
    // One chance in nine each time: 500 misses in a row are below 1e-25.
    expect(error).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    const report = error?.report as VerificationReport;
    expect(report).toMatchObject({ mode: 'sampled', actual: null, damagedGroups: 1, exact: true });
    expect(report.damaged).toMatchObject([{ firstBlock: 641, blocks: 1 }]);
    expect(manager.status().quarantined).toEqual([shard.shardId]);
    const all = await failure(manager.verify(shard, { mode: 'sampled', groups: 1000 }));
    expect(all).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      report: { sample: { groups: 9, totalGroups: 9 } },
    });
    await manager.close();
  });

  it('never passes a shard in quarantine, whatever it sees: healing lifts that, or nothing does', async () => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes), { modelRef: 'm' });
    await seen.flip(0, 5, 1);
    expect(await failure(manager.verify(shard))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    // A fault that comes and goes: the bytes are right again, and the quarantine stands.
    await seen.flip(0, 5, 1);
    const before = recorder.events.length;
    const options = { mode: 'sampled', groups: 1000 } as const;
    const refusal = {
      code: 'INTEGRITY_VIOLATION',
      message: expect.stringContaining('is in quarantine'),
      report: { verified: false, sampled: true, transient: false, damaged: [] },
    };
    expect(await failure(manager.verify(shard, options))).toMatchObject(refusal);
    const told = recorder.events.slice(before).map(({ type }) => type);
    expect(told).toContain('seal.verification_failed');
    expect(told).not.toContain('seal.verified');
    expect(await failure(manager.verifySet('m', options))).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      report: { verified: false, sampled: true, shards: [{ report: null, error: refusal }] },
    });
    await manager.heal(shard, bytesSource(bytes));
    expect(await manager.verify(shard, options)).toMatchObject({ verified: false, sampled: true });
    await manager.close();
  });

  it('that was clean passes no shard which was found damaged before it was on record', async () => {
    const seen = regionsOf();
    const recorder = new Recorder();
    const { manager } = await openHost({ wrap: seen.wrap, recorder });
    const shard = await manager.seal(bytesSource(bytes));
    let other: Promise<unknown> = Promise.resolve();
    recorder.onEvent = async ({ type }) => {
      if (type !== 'seal.verified') return;
      await seen.flip(0, 5, 1);
      other = failure(manager.verify(shard));
      await other;
    };
    expect(await failure(manager.verify(shard, { mode: 'sampled', groups: 1 }))).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      report: { verified: false, sampled: true },
    });
    await other;
    await manager.close();
  });

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, undefined])(
    'refuses %s groups',
    async (groups) => {
      const { manager } = await openHost();
      const shard = await manager.seal(bytesSource(pattern(10)));
      const options = { mode: 'sampled' as const, ...(groups === undefined ? {} : { groups }) };
      expect(await failure(manager.verify(shard, options))).toMatchObject({
        code: 'INVALID_INPUT',
        argument: 'groups',
      });
      expect(await failure(manager.verify(shard, { groups: 1 }))).toMatchObject({ argument: 'groups' });
      expect(await manager.verify(shard, { mode: 'sampled', groups: 1 })).toMatchObject({
        sample: { groups: 1, totalGroups: 1 },
      });
      await manager.close();
    },
  );

  it('draws without replacement, every group as often as any other', () => {
    const counts = new Array<number>(10).fill(0);
    for (let round = 0; round < 3000; round++) {
      const drawn = drawGroups(nodeCrypto, 4, 10);
      expect(new Set(drawn).size).toBe(4);
      expect([...drawn].sort((a, b) => a - b)).toEqual(drawn);
      for (const group of drawn) counts[group] = (counts[group] ?? 0) + 1;
    }
    // 1200 expected each, standard deviation 27: six of them on either side.
    for (const count of counts) expect(Math.abs(count - 1200)).toBeLessThan(165);
    expect(drawGroups(nodeCrypto, 10, 10)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('the chance of a miss is the one that counting all draws gives', () => {
    const subsets = (total: number, size: number): number[][] => {
      if (size === 0) return [[]];
      if (total < size) return [];
      return [
        ...subsets(total - 1, size),
        ...subsets(total - 1, size - 1).map((rest) => [...rest, total - 1]),
      ];
    };
    for (let total = 1; total <= 8; total++) {
      for (let drawn = 1; drawn <= total; drawn++) {
        const draws = subsets(total, drawn);
        for (let damaged = 1; damaged <= total; damaged++) {
          const missed = draws.filter((draw) => draw.every((group) => group >= damaged)).length;
          expect(chanceOfMiss(total, drawn, damaged)).toBeCloseTo(missed / draws.length, 12);
        }
      }
    }
  });
});

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

  it('refuses a model that is no label', async () => {
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
