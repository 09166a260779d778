// Where blocks lie in the picture: cells from left to right, row by row.
import type { BlockRange } from '../protocol.js';

/** Of a cell and the gap behind it, CSS pixels. */
const LARGEST_PITCH = 16;
const SMALLEST_PITCH = 4;

export interface Grid {
  readonly blocks: number;
  /** 1 if every block has its own cell. */
  readonly blocksPerCell: number;
  readonly cells: number;
  readonly columns: number;
  readonly rows: number;
  readonly pitch: number;
}

/** The largest cells with which all blocks find room; where the smallest do not suffice, several blocks share one. */
export function planGrid(blocks: number, width: number, height: number): Grid {
  for (let pitch = LARGEST_PITCH; pitch >= SMALLEST_PITCH; pitch--) {
    const columns = Math.max(1, Math.floor(width / pitch));
    const most = columns * Math.max(1, Math.floor(height / pitch));
    if (blocks > most && pitch > SMALLEST_PITCH) continue;
    const blocksPerCell = Math.max(1, Math.ceil(blocks / most));
    const cells = Math.ceil(blocks / blocksPerCell);
    return { blocks, blocksPerCell, cells, columns, rows: Math.ceil(cells / columns), pitch };
  }
  throw new RangeError('pitch: the loop above ends at the smallest');
}

/** Cells from `first` up to but without `end`. */
export interface CellRange {
  readonly first: number;
  readonly end: number;
}

/** A range is never nothing: among millions of blocks a damaged one is still a whole cell. */
export function cellsOf({ firstBlock, blocks }: BlockRange, { blocksPerCell, cells }: Grid): CellRange {
  const first = Math.min(cells, Math.floor(firstBlock / blocksPerCell));
  return {
    first,
    end: Math.min(cells, Math.max(first + 1, Math.ceil((firstBlock + blocks) / blocksPerCell))),
  };
}

/** In columns and rows. */
export interface Area {
  readonly column: number;
  readonly row: number;
  readonly columns: number;
  readonly rows: number;
}

/** The rectangles that a run of cells covers: the end of its first row, whole rows, the beginning of its last. At most 3. */
export function areasOf({ first, end }: CellRange, { columns }: Grid): Area[] {
  if (end <= first) return [];
  const [top, left] = [Math.floor(first / columns), first % columns];
  const [bottom, right] = [Math.floor((end - 1) / columns), ((end - 1) % columns) + 1];
  if (top === bottom) return [{ column: left, row: top, columns: right - left, rows: 1 }];
  const areas: Area[] = [{ column: left, row: top, columns: columns - left, rows: 1 }];
  if (bottom - top > 1) areas.push({ column: 0, row: top + 1, columns, rows: bottom - top - 1 });
  areas.push({ column: 0, row: bottom, columns: right, rows: 1 });
  return areas;
}

/** The corners of a run of cells, in columns and rows: one ring, or two where its first and last row do not touch. */
export function outlineOf(cells: CellRange, grid: Grid): [number, number][][] {
  const { columns } = grid;
  const [top, left] = [Math.floor(cells.first / columns), cells.first % columns];
  const [bottom, right] = [Math.floor((cells.end - 1) / columns), ((cells.end - 1) % columns) + 1];
  if (cells.end <= cells.first) return [];
  if (top === bottom || (bottom === top + 1 && right <= left)) {
    return areasOf(cells, grid).map(({ column, row, columns: wide, rows }) => [
      [column, row],
      [column + wide, row],
      [column + wide, row + rows],
      [column, row + rows],
    ]);
  }
  return [
    [
      [left, top],
      [columns, top],
      [columns, bottom],
      [right, bottom],
      [right, bottom + 1],
      [0, bottom + 1],
      [0, top + 1],
      [left, top + 1],
    ],
  ];
}

/** The block under a point, CSS pixels from the picture's corner; null beside the blocks. */
export function blockAt(x: number, y: number, { pitch, columns, cells, blocksPerCell }: Grid): number | null {
  const [column, row] = [Math.floor(x / pitch), Math.floor(y / pitch)];
  if (column < 0 || column >= columns || row < 0) return null;
  const cell = row * columns + column;
  return cell < cells ? cell * blocksPerCell : null;
}
