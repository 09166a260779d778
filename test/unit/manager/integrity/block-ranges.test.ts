import { describe, expect, it } from 'vitest';
import { blocksOf, toRanges } from '../../../../src/manager/integrity/block-ranges.js';
import { hashAt } from '../../../../src/manager/integrity/retained-hashes.js';
import { pattern } from '../fixture.js';
import { BLOCK } from './fixture.js';

describe('ranges', () => {
  it('joins neighbours and shortens the last block', () => {
    expect(toRanges([], 10)).toEqual([]);
    expect(toRanges([0], 10)).toEqual([{ firstBlock: 0, blocks: 1, byteOffset: 0, byteLength: 10 }]);
    const ranges = toRanges([0, 1, 3, 7, 8], 8 * 4096 + 1);
    expect(ranges).toEqual([
      { firstBlock: 0, blocks: 2, byteOffset: 0, byteLength: 8192 },
      { firstBlock: 3, blocks: 1, byteOffset: 12_288, byteLength: 4096 },
      { firstBlock: 7, blocks: 2, byteOffset: 28_672, byteLength: 4097 },
    ]);
    expect([...blocksOf(ranges)]).toEqual([0, 1, 3, 7, 8]);
  });
});

describe('packed hashes and ranges', () => {
  it('are cut at 32 bytes', () => {
    const hashes = pattern(96);
    expect(hashAt(hashes, 1)).toEqual(hashes.slice(32, 64));
  });

  it('join neighbours only', () => {
    expect(toRanges([5], 6 * BLOCK)).toEqual([
      { firstBlock: 5, blocks: 1, byteOffset: 5 * BLOCK, byteLength: BLOCK },
    ]);
    expect(toRanges([1, 2, 3, 5], 6 * BLOCK).map(({ firstBlock, blocks }) => [firstBlock, blocks])).toEqual([
      [1, 3],
      [5, 1],
    ]);
    expect([...blocksOf([])]).toEqual([]);
  });
});
