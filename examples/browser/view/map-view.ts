// The picture of the blocks, its sweep, and the tensor under the pointer or the arrow keys.
import type { ModelFacts, TensorPlace } from '../protocol.js';
import { BlockMap, type MapState } from './block-map.js';
import { blocksText } from './damage-text.js';
import { byId, setText } from './dom.js';
import { bytes, count, grouped } from './format.js';
import { blockAt } from './grid.js';
import { findTensor } from './tensor-at.js';

/**
 * A sweep lasts at least this long, so that it is visible if the device is faster. Its front is never ahead of the device's
 * reported progress. The figures beside it are the measured ones.
 */
const SWEEP_MS = 700;
const TALL = 352;
const SHORT = 280;
const NARROW = 640;
/** After a pause the front does not jump. */
const LONGEST_FRAME_MS = 50;
const PAGE_OF_TENSORS = 10;
/** Frames stop in a hidden tab; the sweep then ends without being seen. */
const PATIENCE_MS = 2 * SWEEP_MS;

const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)');
const dark = matchMedia('(prefers-color-scheme: dark)');

const NOTHING: MapState = {
  blocks: 1,
  tensors: [],
  tone: 'sealed',
  sweeping: false,
  swept: 0,
  flipped: [],
  damaged: [],
};

export class MapView {
  readonly #frame = byId('map-frame', HTMLElement);
  readonly #map = new BlockMap(this.#frame);
  #state: MapState = NOTHING;
  #selected: number | null = null;
  /** While no tensor is selected. */
  #hint = '';
  #frameAsked = false;
  /** Blocks that the device has hashed, and since when the front is on its way there. */
  #target = 0;
  #lastFrame = 0;
  #onArrival: (() => void) | null = null;

  constructor() {
    const redraw = (): void => {
      this.#map.forgetColours();
      this.#fit();
    };
    new ResizeObserver(() => this.#fit()).observe(this.#frame);
    dark.addEventListener('change', redraw);
    this.#frame.addEventListener('pointermove', (event) => this.#point(event));
    this.#frame.addEventListener('pointerdown', (event) => this.#point(event));
    this.#frame.addEventListener('pointerleave', () => this.#select(null));
    this.#frame.addEventListener('keydown', (event) => this.#key(event));
    this.#frame.addEventListener('blur', () => this.#select(null));
  }

  show({ blocks, tensors, tensorNote }: ModelFacts): void {
    this.#state = { ...NOTHING, blocks, tensors };
    this.#target = 0;
    this.#frame.setAttribute('aria-valuemax', String(Math.max(0, tensors.length - 1)));
    this.#hint =
      tensorNote ??
      `${count(tensors.length, 'tensor')}: point at one, or use the arrow keys, to see its name.`;
    this.#select(null);
    this.#fit();
    const each = this.#map.grid.blocksPerCell;
    const cell =
      each === 1 ? 'Each cell is a block of 4,096 bytes' : `Each cell stands for ${count(each, 'block')}`;
    setText(
      byId('map-caption', HTMLElement),
      `${cell}, in the order of the bytes. Neighbouring tensors differ in shade.`,
    );
  }

  update(change: Partial<Omit<MapState, 'blocks' | 'tensors' | 'sweeping' | 'swept'>>): void {
    this.#state = { ...this.#state, ...change };
    this.#ask();
  }

  /** A verification begins. */
  sweep(): void {
    this.#target = 0;
    this.#lastFrame = performance.now();
    this.#frame.dataset['busy'] = '';
    this.#state = { ...this.#state, sweeping: true, swept: 0 };
    this.#ask();
  }

  /** The device has hashed so much. Less than before: it looks a second time, since the first look differed. */
  hashed(share: number): void {
    if (!this.#state.sweeping) return;
    delete this.#frame.dataset['busy'];
    const target = Math.floor(this.#state.blocks * Math.min(1, share));
    if (target < this.#target) this.#state = { ...this.#state, swept: 0 };
    this.#target = target;
    this.#ask();
  }

  /** Resolves when the front has arrived where the device is. */
  async arrive(): Promise<void> {
    const inSight = !document.hidden && !reducedMotion.matches;
    if (inSight && this.#state.swept < this.#target) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, PATIENCE_MS);
        this.#onArrival = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.rest();
  }

  /** Ends the sweep, complete or not, and shows the previous state again. */
  rest(): void {
    delete this.#frame.dataset['busy'];
    this.#onArrival = null;
    this.#target = 0;
    this.#state = { ...this.#state, sweeping: false, swept: 0 };
    this.#ask();
  }

  #fit(): void {
    if (this.#frame.clientWidth === 0) return;
    this.#map.fit(this.#state.blocks, this.#frame.clientWidth < NARROW ? SHORT : TALL);
    this.#map.draw(this.#state);
    this.#map.outline(this.#tensor());
  }

  #ask(): void {
    if (this.#frameAsked) return;
    this.#frameAsked = true;
    requestAnimationFrame((now) => {
      this.#frameAsked = false;
      this.#advance(now);
      this.#map.draw(this.#state);
    });
  }

  #advance(now: number): void {
    const { swept, blocks } = this.#state;
    const elapsed = Math.min(LONGEST_FRAME_MS, Math.max(0, now - this.#lastFrame));
    this.#lastFrame = now;
    if (swept >= this.#target) {
      this.#onArrival?.();
      return;
    }
    const step = reducedMotion.matches ? blocks : Math.max(1, Math.round((blocks * elapsed) / SWEEP_MS));
    this.#state = { ...this.#state, swept: Math.min(this.#target, swept + step) };
    this.#ask();
  }

  #point({ offsetX, offsetY }: PointerEvent): void {
    const block = blockAt(offsetX, offsetY, this.#map.grid);
    const { tensors } = this.#state;
    const at = block === null ? -1 : findTensor(tensors, block, this.#map.grid.blocksPerCell);
    if (at === -1 && block !== null) {
      this.#select(null);
      setText(byId('map-tensor', HTMLElement), `block ${grouped(block)}`);
    } else this.#select(at === -1 ? null : at);
  }

  #key(event: KeyboardEvent): void {
    const last = this.#state.tensors.length - 1;
    if (last < 0) return;
    const at = this.#selected ?? -1;
    const next = {
      ArrowRight: at + 1,
      ArrowUp: at + 1,
      ArrowLeft: at - 1,
      ArrowDown: at - 1,
      PageUp: at + PAGE_OF_TENSORS,
      PageDown: at - PAGE_OF_TENSORS,
      Home: 0,
      End: last,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.#select(Math.min(last, Math.max(0, next)));
  }

  #select(at: number | null): void {
    if (at === this.#selected && at !== null) return;
    this.#selected = at;
    const tensor = this.#tensor();
    const said = tensor === null ? this.#hint : describe(tensor);
    setText(byId('map-tensor', HTMLElement), said);
    this.#frame.setAttribute('aria-valuenow', String(at ?? 0));
    this.#frame.setAttribute('aria-valuetext', tensor === null ? 'none' : said);
    this.#map.outline(tensor);
  }

  #tensor(): TensorPlace | null {
    return this.#selected === null ? null : (this.#state.tensors[this.#selected] ?? null);
  }
}

function describe({ name, dtype, shape, byteLength, ...range }: TensorPlace): string {
  return `${name}  ${dtype} [${shape.join(', ')}]  ${bytes(byteLength)}, ${blocksText(range)}`;
}
