// The model's blocks as a picture. Work a frame is in proportion to rows, tensors and damaged ranges, not to blocks.
import type { BlockRange, TensorPlace } from '../protocol.js';
import { areasOf, type CellRange, cellsOf, type Grid, outlineOf, planGrid } from './grid.js';

export type Tone = 'sealed' | 'verified' | 'quarantined' | 'released';

/** The state to draw. Blocks before `swept` were hashed in the running verification; its verdict comes at the end. */
export interface MapState {
  readonly blocks: number;
  readonly tensors: readonly TensorPlace[];
  readonly tone: Tone;
  /** During a sweep, the state of blocks behind the front is unknown, whatever it was before. */
  readonly sweeping: boolean;
  readonly swept: number;
  readonly flipped: readonly number[];
  readonly damaged: readonly BlockRange[];
}

/** How much paler every second tensor is, so that their borders are visible. */
const WEAKER = 0.2;
const DAMAGE_HALO = 2;

type Colour = Tone | 'hashed' | 'damaged' | 'flipped' | 'outline';
const COLOURS: readonly Colour[] = [
  'sealed',
  'verified',
  'quarantined',
  'released',
  'hashed',
  'damaged',
  'flipped',
  'outline',
];

interface Layer {
  readonly canvas: HTMLCanvasElement;
  readonly context: CanvasRenderingContext2D;
}

export class BlockMap {
  readonly #blocks: Layer;
  /** Over the blocks: the halo of damage, which styles make pulse without any script. */
  readonly #damage: Layer;
  readonly #pointer: Layer;
  readonly #frame: HTMLElement;
  #grid: Grid = planGrid(1, 1, 1);
  #colours: ReadonlyMap<Colour, string> | null = null;

  /** `frame` holds three canvases of one size, one over the other: blocks, damage, pointer. */
  constructor(frame: HTMLElement) {
    this.#frame = frame;
    const [blocks, damage, pointer] = frame.querySelectorAll('canvas');
    this.#blocks = layer(blocks);
    this.#damage = layer(damage);
    this.#pointer = layer(pointer);
  }

  get grid(): Grid {
    return this.#grid;
  }

  /** After the page has changed between light and dark. */
  forgetColours(): void {
    this.#colours = null;
  }

  /** Takes the room that there is: after the model or the page's size has changed. `height` in CSS pixels, at most. */
  fit(blocks: number, height: number): void {
    this.#grid = planGrid(blocks, this.#frame.clientWidth, height);
    const { columns, rows, pitch } = this.#grid;
    for (const one of [this.#blocks, this.#damage, this.#pointer]) resize(one, columns * pitch, rows * pitch);
  }

  /** Records a performance measure, `block-map`: the drawing time on the page's thread. */
  draw(state: MapState): void {
    const start = performance.now();
    this.#drawBlocks(state);
    this.#drawDamage(state);
    performance.measure('block-map', { start, end: performance.now() });
  }

  /** Outlines a tensor, or nothing. */
  outline(tensor: BlockRange | null): void {
    const { context } = this.#pointer;
    this.#clear(this.#pointer);
    if (tensor === null) return;
    const { pitch } = this.#grid;
    context.strokeStyle = this.#colour('outline');
    context.lineWidth = 2;
    context.lineJoin = 'round';
    context.beginPath();
    for (const ring of outlineOf(cellsOf(tensor, this.#grid), this.#grid)) {
      for (const [at, [column, row]] of ring.entries()) {
        const point = [column * pitch - 0.5, row * pitch - 0.5] as const;
        if (at === 0) context.moveTo(...point);
        else context.lineTo(...point);
      }
      context.closePath();
    }
    context.stroke();
  }

  #drawBlocks({ blocks, tensors, tone, sweeping, swept, flipped, damaged }: MapState): void {
    const { context } = this.#blocks;
    this.#clear(this.#blocks);
    const whole = { firstBlock: 0, blocks };
    this.#fill(this.#blocks, cellsOf(whole, this.#grid), this.#colour(sweeping ? 'sealed' : tone));
    if (swept > 0) {
      const behind = cellsOf({ firstBlock: 0, blocks: swept }, this.#grid);
      this.#fill(this.#blocks, behind, this.#colour('hashed'));
    }
    this.#weaken(tensors);
    for (const range of damaged)
      this.#fill(this.#blocks, cellsOf(range, this.#grid), this.#colour('damaged'));
    this.#cutGaps(context);
    for (const block of flipped) this.#ring(context, cellsOf({ firstBlock: block, blocks: 1 }, this.#grid));
  }

  /** Every second tensor, by taking away from what is drawn: one colour serves both. */
  #weaken(tensors: readonly TensorPlace[]): void {
    const { context } = this.#blocks;
    context.save();
    context.globalCompositeOperation = 'destination-out';
    context.globalAlpha = WEAKER;
    for (let at = 1; at < tensors.length; at += 2) {
      const tensor = tensors[at];
      if (tensor !== undefined) this.#fill(this.#blocks, cellsOf(tensor, this.#grid), '#000');
    }
    context.restore();
  }

  #drawDamage({ damaged }: MapState): void {
    const { context } = this.#damage;
    this.#clear(this.#damage);
    context.strokeStyle = this.#colour('damaged');
    context.lineWidth = DAMAGE_HALO;
    const { pitch, columns: width, rows: height } = this.#grid;
    // At the edges of the picture the halo moves inwards: it must not be cut off.
    const before = (at: number): number => Math.max(DAMAGE_HALO / 2, at * pitch - DAMAGE_HALO);
    const behind = (at: number, cells: number): number =>
      Math.min(cells * pitch - DAMAGE_HALO / 2, at * pitch - 1 + DAMAGE_HALO);
    for (const range of damaged) {
      for (const { column, row, columns, rows } of areasOf(cellsOf(range, this.#grid), this.#grid)) {
        const [x, y] = [before(column), before(row)];
        context.strokeRect(x, y, behind(column + columns, width) - x, behind(row + rows, height) - y);
      }
    }
  }

  #fill({ context }: Layer, cells: CellRange, colour: string): void {
    const { pitch } = this.#grid;
    context.fillStyle = colour;
    for (const { column, row, columns, rows } of areasOf(cells, this.#grid)) {
      context.fillRect(column * pitch, row * pitch, columns * pitch, rows * pitch);
    }
  }

  /** Runs are filled as one, and the gaps between cells cut out of all of them at the end. */
  #cutGaps(context: CanvasRenderingContext2D): void {
    const { columns, rows, pitch } = this.#grid;
    for (let column = 1; column <= columns; column++) {
      context.clearRect(column * pitch - 1, 0, 1, rows * pitch);
    }
    for (let row = 1; row <= rows; row++) context.clearRect(0, row * pitch - 1, columns * pitch, 1);
  }

  /** Flipped but not yet detected: a ring around an unchanged cell. */
  #ring(context: CanvasRenderingContext2D, cells: CellRange): void {
    const { pitch } = this.#grid;
    context.strokeStyle = this.#colour('flipped');
    context.lineWidth = 1.5;
    for (const { column, row } of areasOf(cells, this.#grid)) {
      context.strokeRect(column * pitch + 0.5, row * pitch + 0.5, pitch - 2, pitch - 2);
    }
  }

  #clear({ context, canvas }: Layer): void {
    context.clearRect(0, 0, canvas.width, canvas.height);
  }

  /** From the styles, which know light and dark. */
  #colour(name: Colour): string {
    if (this.#colours === null) {
      const styles = getComputedStyle(this.#frame);
      this.#colours = new Map(COLOURS.map((one) => [one, styles.getPropertyValue(`--map-${one}`)]));
    }
    return this.#colours.get(name) ?? 'currentColor';
  }
}

function layer(canvas: HTMLCanvasElement | undefined): Layer {
  const context = canvas?.getContext('2d') ?? null;
  if (canvas === undefined || context === null) throw new Error('frame: must hold three canvases');
  return { canvas, context };
}

/** Width and height in CSS pixels; setting a size also clears. */
function resize({ canvas, context }: Layer, width: number, height: number): void {
  const scale = globalThis.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  context.setTransform(scale, 0, 0, scale, 0, 0);
}
