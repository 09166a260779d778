import { describe, expect, it } from 'vitest';
import { Scratch, Slabs } from '../../../../src/audit/format/buffers.js';
import { splitLines } from '../../../../src/audit/format/lines.js';
import { parseStem, segmentStem } from '../../../../src/audit/format/segment.js';

describe('files of the log', () => {
  it('have names of 16 digits and a date', () => {
    expect(segmentStem({ firstSeq: 12, date: '2026-01-02' })).toBe('0000000000000012-2026-01-02');
    expect(parseStem('0000000000000012-2026-01-02')).toEqual({ firstSeq: 12, date: '2026-01-02' });
    for (const wrong of [
      'x0000000000000012-2026-01-02',
      '0000000000000012-2026-01-02x',
      '000000000000012-2026-01-02',
      '0000000000000012-2026-1-02',
      '9999999999999999-2026-01-02',
      '',
    ]) {
      expect(parseStem(wrong), wrong).toBeNull();
    }
  });

  async function lines(maxBytes: number, ...chunks: string[]) {
    const found: [string, number, boolean][] = [];
    for await (const group of splitLines(
      chunks.map((chunk) => new TextEncoder().encode(chunk)),
      maxBytes,
    )) {
      for (const { bytes, offset, terminated } of group)
        found.push([new TextDecoder().decode(bytes), offset, terminated]);
    }
    return found;
  }

  it('are cut into lines wherever their chunks end', async () => {
    const whole: [string, number, boolean][] = [
      ['ab', 0, true],
      ['', 3, true],
      ['cd', 4, true],
      ['e', 7, false],
    ];
    expect(await lines(10, 'ab\n\ncd\ne')).toEqual(whole);
    expect(await lines(10, 'a', 'b', '\n', '\nc', 'd\n', 'e')).toEqual(whole);
    expect(await lines(10)).toEqual([]);
    expect(await lines(10, 'ab\n')).toEqual([['ab', 0, true]]);
  });

  it('give the beginning of a line that is too long, once, and go on behind it', async () => {
    expect(await lines(4, 'abcd', '\nx\n')).toEqual([
      ['abcd', 0, true],
      ['x', 5, true],
    ]);
    expect(await lines(4, 'ok\nabcde', 'fghijkl', 'mn\nx\n', 'y')).toEqual([
      ['ok', 0, true],
      ['abcde', 3, false],
      ['x', 18, true],
      ['y', 20, false],
    ]);
    expect(await lines(4, 'abcde', 'fgh')).toEqual([['abcde', 0, false]]);
  });

  it('are made of memory that is cut once', () => {
    const slabs = new Slabs();
    const [first, second] = [slabs.take(10).fill(1), slabs.take(65_526).fill(2)];
    expect(second.buffer).toBe(first.buffer);
    expect([first.length, first.every((byte) => byte === 1), second.length]).toEqual([10, true, 65_526]);
    expect(slabs.take(1).buffer).not.toBe(first.buffer);
    expect(slabs.take(100_000)).toHaveLength(100_000);
    const scratch = new Scratch(8);
    const small = scratch.take(8);
    expect(small.buffer).toBe(scratch.take(4).buffer);
    expect(scratch.take(9)).toHaveLength(9);
    expect(scratch.take(18).buffer).toBe(scratch.take(9).buffer);
  });
});
