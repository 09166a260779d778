import { describe, expect, it } from 'vitest';
import { SegmentTable } from '../../../src/device/segments.js';

const MAX = Number.MAX_SAFE_INTEGER;

function refused(argument: string) {
  return expect.objectContaining({ name: 'VramError', code: 'INVALID_INPUT', argument });
}

describe('SegmentTable', () => {
  it('[MS-006] splits a range at segment borders', async () => {
    const table = await SegmentTable.create([10, 0, 5, 20]);
    expect(table.byteLength).toBe(35);
    expect(table.resolve(0, 35)).toEqual([
      { segment: 0, offset: 0, length: 10 },
      { segment: 2, offset: 0, length: 5 },
      { segment: 3, offset: 0, length: 20 },
    ]);
    expect(table.resolve(9, 2)).toEqual([
      { segment: 0, offset: 9, length: 1 },
      { segment: 2, offset: 0, length: 1 },
    ]);
    expect(table.resolve(10, 5)).toEqual([{ segment: 2, offset: 0, length: 5 }]);
    expect(table.resolve(34, 1)).toEqual([{ segment: 3, offset: 19, length: 1 }]);
  });

  it('[MS-007] allows zero bytes anywhere up to the end, and nothing past it', async () => {
    const table = await SegmentTable.create([10]);
    expect(table.resolve(0, 0)).toEqual([]);
    expect(table.resolve(10, 0)).toEqual([]);
    expect(() => table.resolve(11, 0)).toThrow(refused('offset'));
    expect(() => table.resolve(10, 1)).toThrow(refused('length'));
    expect(() => table.resolve(0, 11)).toThrow(refused('length'));
    const empty = await SegmentTable.create([]);
    expect(empty.byteLength).toBe(0);
    expect(empty.resolve(0, 0)).toEqual([]);
    expect(() => empty.resolve(0, 1)).toThrow(refused('length'));
  });

  it('[MS-006] is exact at 2^53 - 1 bytes', async () => {
    const table = await SegmentTable.create([MAX - 3, 1, 2]);
    expect(table.byteLength).toBe(MAX);
    expect(table.resolve(MAX - 4, 4)).toEqual([
      { segment: 0, offset: MAX - 4, length: 1 },
      { segment: 1, offset: 0, length: 1 },
      { segment: 2, offset: 0, length: 2 },
    ]);
    expect(table.resolve(0, MAX)).toHaveLength(3);
    expect(() => table.resolve(1, MAX)).toThrow(refused('length'));
    expect(() => table.resolve(MAX, 1)).toThrow(refused('length'));
  });

  it.each([
    -1,
    -0.5,
    0.5,
    1.000000001,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    2 ** 53,
    2 ** 64,
    Number.MAX_VALUE,
    Number.MIN_VALUE,
  ])('[MS-006] refuses %d as offset, as length and as segment', async (bad) => {
    const table = await SegmentTable.create([4096, 4096]);
    expect(() => table.resolve(bad, 0)).toThrow(refused('offset'));
    expect(() => table.resolve(0, bad)).toThrow(refused('length'));
    await expect(SegmentTable.create([1, bad])).rejects.toThrow(refused('segmentLengths'));
    // The table that was refused left this one intact.
    expect(table.resolve(4095, 2)).toHaveLength(2);
  });

  it('refuses what is not a number at all, which WebAssembly would convert', async () => {
    const table = await SegmentTable.create([4096]);
    const sneaky: readonly unknown[] = ['1', null, true, undefined, [], 1n, { valueOf: () => 1 }];
    for (const value of sneaky) {
      expect(() => Reflect.apply(table.resolve, table, [value, 0])).toThrow(refused('offset'));
      expect(() => Reflect.apply(table.resolve, table, [0, value])).toThrow(refused('length'));
      await expect(Reflect.apply(SegmentTable.create, SegmentTable, [[value]])).rejects.toThrow(
        refused('segmentLengths'),
      );
    }
    await expect(Reflect.apply(SegmentTable.create, SegmentTable, [null])).rejects.toThrow(
      refused('segmentLengths'),
    );
  });

  it('refuses sums above 2^53 - 1 and too many segments', async () => {
    await expect(SegmentTable.create([MAX, 1])).rejects.toThrow(refused('segmentLengths'));
    await expect(SegmentTable.create(new Array(3000).fill(MAX))).rejects.toThrow(refused('segmentLengths'));
    await expect(SegmentTable.create(new Array(65_537).fill(1))).rejects.toThrow(refused('segmentLengths'));
    const most = await SegmentTable.create(new Array(65_536).fill(1));
    expect(most.resolve(0, 65_536)).toHaveLength(65_536);
  });

  it('names the caller’s own arguments', async () => {
    const table = await SegmentTable.create([8]);
    const names = { offset: 'first', length: 'bytes' };
    expect(() => table.resolve(9, 0, names)).toThrow('"first" must be an integer from 0 to 8, got 9');
    expect(() => table.resolve(4, 5, names)).toThrow('"bytes" must be at most 4 from offset 4 on, got 5');
  });

  it('keeps tables apart that are used in turn', async () => {
    const [one, two] = await Promise.all([SegmentTable.create([1, 1]), SegmentTable.create([100])]);
    for (let i = 0; i < 3; i++) {
      expect(one.resolve(0, 2)).toHaveLength(2);
      expect(two.resolve(0, 2)).toEqual([{ segment: 0, offset: 0, length: 2 }]);
    }
  });
});
