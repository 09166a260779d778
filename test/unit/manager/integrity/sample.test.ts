import { describe, expect, it } from 'vitest';
import type { VerificationReport } from '../../../../src/base/reports.js';
import type { CryptoProvider } from '../../../../src/crypto/provider.js';
import {
  chanceOfMiss,
  describeSample,
  drawGroups,
  groupLevel,
  groupsMatch,
} from '../../../../src/manager/integrity/sample.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, overlay, pattern, Recorder, regionsOf } from '../fixture.js';
import { BLOCK, damaged, GROUP, shardOver } from './fixture.js';

describe('samples', () => {
  it('say what they may have missed, for damage of up to all groups', () => {
    const all = [1, 2, 4, 8, 16, 32, 64, 128];
    for (const [total, told] of [
      [128, all],
      [127, all.slice(0, -1)],
      [129, all],
      [3, [1, 2]],
      [1, [1]],
    ] as const) {
      const report = describeSample(1, total);
      expect(report.chanceOfMiss.map(({ damagedGroups }) => damagedGroups)).toEqual(told);
      expect(Object.isFrozen(report)).toBe(true);
    }
    expect(describeSample(2, 4)).toEqual({
      groups: 2,
      totalGroups: 4,
      chanceOfMiss: [
        { damagedGroups: 1, chance: 0.5 },
        { damagedGroups: 2, chance: expect.closeTo(1 / 6, 12) },
        { damagedGroups: 4, chance: 0 },
      ],
    });
  });

  /** Gives these values of 48 bits, one after another. */
  const from = (...values: number[]): CryptoProvider =>
    overlay(nodeCrypto, {
      randomBytes: (length: number) => {
        expect(length).toBe(6);
        const value = BigInt(values.shift() ?? 0);
        return Uint8Array.from({ length }, (_, at) => Number((value >> BigInt(8 * (5 - at))) & 255n));
      },
    });

  it('are drawn by Floyd: of a number drawn twice the second is the newest', () => {
    expect(drawGroups(from(4, 4, 4), 3, 10)).toEqual([4, 8, 9]);
    expect(drawGroups(from(7, 1, 0), 3, 10)).toEqual([0, 1, 7]);
    expect(drawGroups(from(), 0, 10)).toEqual([]);
    expect(drawGroups(from(9, 9, 9), 1, 1)).toEqual([0]);
    // 256^5 + 258, in order of its digits.
    expect(drawGroups(from(2 ** 40 + 258), 1, 1000)).toEqual([(2 ** 40 + 258) % 1000]);
  });

  it('throw away draws beyond the last whole multiple, and none below', () => {
    // 2^48 is 1 beyond a multiple of 3: its last number alone is thrown away.
    expect(drawGroups(from(2 ** 48 - 1, 0), 1, 3)).toEqual([0]);
    expect(drawGroups(from(2 ** 48 - 2, 0), 1, 3)).toEqual([2]);
    expect(drawGroups(from(2 ** 48 - 1, 1), 1, 4)).toEqual([3]);
  });

  it('are of level 1, or of the only leaf', () => {
    for (const [byteLength, level, groups] of [
      [1, 0, 1],
      [BLOCK, 0, 1],
      [BLOCK + 1, 1, 1],
      [GROUP, 1, 1],
      [GROUP + 1, 1, 2],
      [300 * GROUP, 1, 300],
    ] as const) {
      expect(groupLevel(byteLength)).toEqual({ level, groups });
    }
  });

  it('hash neighbours in one run, and differ if any group differs', async () => {
    const bytes = pattern(6 * GROUP);
    const { live, asked: nodes } = await shardOver(bytes, false, damaged(bytes, 4 * GROUP));
    const { signal } = new AbortController();
    expect(await groupsMatch(live, [0, 1, 3, 5], signal)).toBe(true);
    expect(nodes).toEqual([
      [1, 0, 2, { signal }],
      [1, 3, 1, { signal }],
      [1, 5, 1, { signal }],
    ]);
    nodes.length = 0;
    expect(await groupsMatch(live, [3, 4, 5], undefined)).toBe(false);
    expect(await groupsMatch(live, [4], undefined)).toBe(false);
    expect(await groupsMatch(live, [], undefined)).toBe(true);
    expect(nodes).toEqual([
      [1, 3, 3, {}],
      [1, 4, 1, {}],
    ]);
  });
});

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

  it('finds damage in its sample: every group is drawn in the long run, and all at once on request', async () => {
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
      message: expect.stringMatching(/is in quarantine.*; a sample cannot lift it$/),
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
