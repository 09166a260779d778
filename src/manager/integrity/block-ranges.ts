import type { DamagedRange } from '../../base/index.js';
import { BLOCK_BYTES } from '../../digest/index.js';

/** Joins ascending block numbers into ranges; the last block of a shard may be short. */
export function toRanges(blocks: Iterable<number>, byteLength: number): DamagedRange[] {
  const ranges: DamagedRange[] = [];
  let first = -1;
  let count = 0;
  const close = (): void => {
    if (count === 0) return;
    const byteOffset = first * BLOCK_BYTES;
    ranges.push({
      firstBlock: first,
      blocks: count,
      byteOffset,
      byteLength: Math.min(count * BLOCK_BYTES, byteLength - byteOffset),
    });
  };
  for (const block of blocks) {
    if (count > 0 && block === first + count) {
      count++;
      continue;
    }
    close();
    first = block;
    count = 1;
  }
  close();
  return ranges;
}

/** The block numbers of ranges, ascending. */
export function* blocksOf(ranges: readonly DamagedRange[]): Generator<number> {
  for (const { firstBlock, blocks } of ranges) {
    for (let block = firstBlock; block < firstBlock + blocks; block++) yield block;
  }
}
