import type { ModelView, ShardView } from '../api-schema/index.js';

export const BLOCK_BYTES = 4_096;
/** Of a cell and the gap behind it, CSS pixels. */
const PITCH = 10;
const CELL = 8;
const MOST_ROWS = 16;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

/** From best to worst: where two share a cell, the worse one shows. */
const SHADES = ['fresh', 'recent', 'old', 'unverified', 'suspect', 'damaged'] as const;
export type Shade = (typeof SHADES)[number];

/** Cells from `first` up to but without `end` in one shade. */
export interface Run {
  readonly first: number;
  readonly end: number;
  readonly shade: Shade;
}

export interface MapPlan {
  readonly blocks: number;
  readonly blocksPerCell: number;
  readonly cells: number;
  /** Later runs lie over earlier ones. */
  readonly runs: readonly Run[];
}

export interface MapLimits {
  readonly mostCells: number;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

/** Lays out all shards one after another. The work is proportional to shards and damaged ranges, not to blocks. */
function planMap(models: readonly ModelView[], { mostCells, nowMs }: MapLimits): MapPlan {
  const shards = models.flatMap((model) => model.shards);
  const blocks = shards.reduce((sum, shard) => sum + blocksOf(shard), 0);
  const blocksPerCell = Math.max(1, Math.ceil(blocks / Math.max(1, mostCells)));
  const runs: Run[] = [];
  let from = 0;
  for (const shard of shards) {
    const end = from + blocksOf(shard);
    runs.push(run(from, end, blocksPerCell, shadeOf(shard, nowMs)));
    // A damaged block takes a whole cell, so that it shows among millions.
    for (const { firstBlock, blocks: count } of shard.damaged) {
      runs.push(run(from + firstBlock, from + firstBlock + count, blocksPerCell, 'damaged'));
    }
    from = end;
  }
  runs.sort((a, b) => SHADES.indexOf(a.shade) - SHADES.indexOf(b.shade));
  return { blocks, blocksPerCell, cells: Math.ceil(blocks / blocksPerCell), runs };
}

function run(from: number, end: number, blocksPerCell: number, shade: Shade): Run {
  return { first: Math.floor(from / blocksPerCell), end: Math.ceil(end / blocksPerCell), shade };
}

function blocksOf({ byteLength }: ShardView): number {
  return Math.ceil(byteLength / BLOCK_BYTES);
}

function shadeOf({ quarantined, lastVerifiedAt }: ShardView, nowMs: number): Shade {
  if (quarantined) return 'suspect';
  if (lastVerifiedAt === null) return 'unverified';
  const age = nowMs - Date.parse(lastVerifiedAt);
  if (age < MINUTE_MS) return 'fresh';
  return age < HOUR_MS ? 'recent' : 'old';
}

/** Draws the map into a canvas, which becomes as wide as the element around it. */
export class BlockMap {
  readonly #canvas: HTMLCanvasElement;
  readonly #colours = new Map<Shade, string>();

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
  }

  /** Records a performance measure, `block-map`: the time that drawing took on the page's thread. */
  draw(models: readonly ModelView[], nowMs: number): MapPlan {
    const start = performance.now();
    const columns = Math.max(1, Math.floor((this.#canvas.parentElement?.clientWidth ?? 0) / PITCH));
    const plan = planMap(models, { mostCells: columns * MOST_ROWS, nowMs });
    // Without blocks there is only the caption, not an empty strip.
    this.#canvas.hidden = plan.cells === 0;
    const rows = Math.max(1, Math.ceil(plan.cells / columns));
    const context = this.#sized(columns * PITCH, rows * PITCH);
    if (context !== null) for (const one of plan.runs) fill(context, one, columns, this.#colour(one.shade));
    performance.measure('block-map', { start, end: performance.now() });
    return plan;
  }

  /** Blank, in device pixels. */
  #sized(width: number, height: number): CanvasRenderingContext2D | null {
    const scale = globalThis.devicePixelRatio || 1;
    const [across, down] = [Math.round(width * scale), Math.round(height * scale)];
    const context = this.#canvas.getContext('2d');
    if (this.#canvas.width !== across || this.#canvas.height !== down) {
      this.#canvas.width = across;
      this.#canvas.height = down;
      this.#canvas.style.width = `${width}px`;
      this.#canvas.style.height = `${height}px`;
      context?.scale(scale, scale);
    }
    context?.clearRect(0, 0, width, height);
    return context;
  }

  /** Read from the legend, so that both always match. */
  #colour(shade: Shade): string {
    const known = this.#colours.get(shade);
    if (known !== undefined) return known;
    const sample = document.querySelector(`#legend .${shade}`);
    const colour = sample === null ? 'currentColor' : getComputedStyle(sample).backgroundColor;
    this.#colours.set(shade, colour);
    return colour;
  }

  /** Called after a change between light and dark. */
  forgetColours(): void {
    this.#colours.clear();
  }
}

function fill(context: CanvasRenderingContext2D, { first, end }: Run, columns: number, colour: string): void {
  context.fillStyle = colour;
  context.beginPath();
  for (let cell = first; cell < end; cell++) {
    context.rect((cell % columns) * PITCH, Math.floor(cell / columns) * PITCH, CELL, CELL);
  }
  context.fill();
}
