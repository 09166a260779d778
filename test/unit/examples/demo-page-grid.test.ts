import { describe, expect, it } from 'vitest';
import type { TensorPlace } from '../../../examples/browser/protocol.js';
import { damageText } from '../../../examples/browser/view/damage-text.js';
import { areasOf, blockAt, cellsOf, outlineOf, planGrid } from '../../../examples/browser/view/grid.js';
import { findTensor } from '../../../examples/browser/view/tensor-at.js';

const WIDTH = 1_150;
const HEIGHT = 352;

/** Cells that areas cover, in order. */
function covered(areas: ReturnType<typeof areasOf>, columns: number): number[] {
  const cells: number[] = [];
  for (const area of areas) {
    for (let row = area.row; row < area.row + area.rows; row++) {
      for (let column = area.column; column < area.column + area.columns; column++) {
        cells.push(row * columns + column);
      }
    }
  }
  return cells.sort((a, b) => a - b);
}

/** Twice the area inside a ring, by the shoelace formula. */
function area(ring: readonly (readonly [number, number])[]): number {
  const twice = ring.reduce((sum, [x, y], at) => {
    const [nextX, nextY] = ring[(at + 1) % ring.length] ?? [x, y];
    return sum + x * nextY - nextX * y;
  }, 0);
  return Math.abs(twice) / 2;
}

function tensor(name: string, firstBlock: number, blocks: number): TensorPlace {
  return { name, dtype: 'F32', shape: [], byteLength: blocks * 4_096, firstBlock, blocks };
}

describe('the grid of the page', () => {
  it('has room for every block, in cells as large as they fit', () => {
    for (const blocks of [1, 70, 300, 2_700, 25_000, 25_143, 1_000_000]) {
      const grid = planGrid(blocks, WIDTH, HEIGHT);
      expect(grid.cells * grid.blocksPerCell).toBeGreaterThanOrEqual(blocks);
      expect(grid.columns * grid.pitch).toBeLessThanOrEqual(WIDTH);
      expect(grid.rows * grid.pitch).toBeLessThanOrEqual(HEIGHT);
      if (grid.pitch > 4) expect(grid.blocksPerCell).toBe(1);
    }
    expect(planGrid(300, WIDTH, HEIGHT).pitch).toBe(16);
  });

  it('covers exactly the cells of a run, with its areas and within its outline', () => {
    const grid = planGrid(80, 160, 400);
    expect(grid).toMatchObject({ columns: 10, rows: 8 });
    for (let first = 0; first < 30; first++) {
      for (let end = first + 1; end <= 45; end++) {
        const expected = Array.from({ length: end - first }, (_, at) => first + at);
        expect(covered(areasOf({ first, end }, grid), grid.columns)).toEqual(expected);
        const rings = outlineOf({ first, end }, grid);
        const apart = Math.floor(first / 10) !== Math.floor((end - 1) / 10) && end - first <= 10;
        expect(rings).toHaveLength(apart ? 2 : 1);
        expect(rings.reduce((sum, ring) => sum + area(ring), 0)).toBe(end - first);
      }
    }
    expect(areasOf({ first: 5, end: 5 }, grid)).toEqual([]);
    expect(outlineOf({ first: 5, end: 5 }, grid)).toEqual([]);
  });

  it('gives a single block of a million a cell, and finds the block under a point again', () => {
    const grid = planGrid(1_000_000, WIDTH, HEIGHT);
    for (const firstBlock of [0, 1, 499_999, 999_999]) {
      const { first, end } = cellsOf({ firstBlock, blocks: 1 }, grid);
      expect(end - first).toBe(1);
      const [x, y] = [(first % grid.columns) * grid.pitch, Math.floor(first / grid.columns) * grid.pitch];
      const found = blockAt(x + 1, y + 1, grid) ?? Number.NaN;
      expect(firstBlock - found).toBeGreaterThanOrEqual(0);
      expect(firstBlock - found).toBeLessThan(grid.blocksPerCell);
    }
    expect(blockAt(WIDTH + 1, 1, grid)).toBeNull();
    expect(blockAt(1, HEIGHT + 1, grid)).toBeNull();
  });
});

describe('the tensors of the page', () => {
  const tensors = [tensor('a', 1, 4), tensor('b', 5, 1), tensor('c', 9, 10)];

  it('are found by a block, and not beside them', () => {
    const names = [0, 1, 4, 5, 6, 9, 18, 19].map((block) => tensors[findTensor(tensors, block, 1)]?.name);
    expect(names).toEqual([undefined, 'a', 'a', 'b', undefined, 'c', 'c', undefined]);
    expect(tensors[findTensor(tensors, 6, 4)]?.name).toBe('c');
  });

  it('are named where damage is told, three places at most', () => {
    expect(damageText([{ firstBlock: 5, blocks: 1 }], tensors)).toBe('Block 5 of b.');
    const many = [0, 2, 9, 12, 14].map((firstBlock) => ({ firstBlock, blocks: 2 }));
    expect(damageText(many, tensors)).toBe(
      'Blocks 0 to 1 of a; blocks 2 to 3 of a; blocks 9 to 10 of c; 4 blocks more.',
    );
  });
});
