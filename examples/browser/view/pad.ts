// The sheet that one writes on: by hand, by typing, or with a picture.
import { drawText } from '../../ocr/picture.mjs';
import type { InkPicture } from '../protocol.js';

/** The input height of PP-OCR's recogniser. */
const ROWS = 48;
/** Widths are multiples of this, so that the engine sees few shapes. */
const WIDTH_STEP = 32;
const MOST_COLUMNS = 960;
const PEN = 9;
/** Share of the sheet's height that a line of ink fills in what the engine sees. */
const LINE_SHARE = 0.7;
const STROKED = /^[ ADEGHILOPRSTUW]+$/;
const RGBA = 4;
/** Lighter than this is paper when the ink is looked for. */
const INK = 0.25;

export class Pad {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #onInk: () => void;
  #last: { readonly x: number; readonly y: number } | null = null;

  /** `onInk` is called when something was written by hand. */
  constructor(canvas: HTMLCanvasElement, onInk: () => void) {
    const context = canvas.getContext('2d', { willReadFrequently: true });
    if (context === null) throw new Error('canvas: has no 2d context');
    this.#canvas = canvas;
    this.#context = context;
    this.#onInk = onInk;
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#last = this.#at(event);
      this.#stroke(event);
    });
    canvas.addEventListener('pointermove', (event) => this.#stroke(event));
    canvas.addEventListener('pointerup', () => {
      this.#last = null;
    });
    canvas.addEventListener('pointercancel', () => {
      this.#last = null;
    });
    this.clear();
  }

  clear(): void {
    this.#context.fillStyle = '#fff';
    this.#context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  /** Letters that the strokes of the terminal demo have are drawn with them, others in the browser's own font. */
  write(words: string): void {
    this.clear();
    const line = words.trim();
    if (line === '') return;
    if (STROKED.test(line)) this.#paint(drawText(line));
    else this.#type(line);
  }

  #type(line: string): void {
    const { width, height } = this.#canvas;
    this.#context.fillStyle = '#000';
    this.#context.textAlign = 'center';
    this.#context.textBaseline = 'middle';
    let size = Math.round(height * LINE_SHARE * 0.8);
    const font = (): string => `${size}px Arial, Helvetica, sans-serif`;
    this.#context.font = font();
    while (this.#context.measureText(line).width > width * 0.94 && size > 12) {
      size -= 2;
      this.#context.font = font();
    }
    this.#context.fillText(line, width / 2, height / 2);
  }

  /** Draws it as large as fits. Errors: those of createImageBitmap, if it is not a picture. */
  async picture(file: Blob): Promise<void> {
    const bitmap = await createImageBitmap(file);
    try {
      this.clear();
      const { width, height } = this.#canvas;
      const scale = Math.min(width / bitmap.width, height / bitmap.height);
      const [wide, high] = [bitmap.width * scale, bitmap.height * scale];
      this.#context.drawImage(bitmap, (width - wide) / 2, (height - high) / 2, wide, high);
    } finally {
      bitmap.close();
    }
  }

  /** The line, cut out and scaled to what the engine takes; null where the sheet is empty. */
  line(): InkPicture | null {
    const { width, height } = this.#canvas;
    const box = inkBox(this.#context.getImageData(0, 0, width, height));
    if (box === null) return null;
    const line = ROWS * LINE_SHARE;
    // A low line, such as a dash, is not enlarged to full height.
    const scale = Math.min(line / Math.max(box.height, height / 4), (MOST_COLUMNS - ROWS) / box.width);
    const [wide, high] = [box.width * scale, box.height * scale];
    const columns = Math.ceil((wide + ROWS / 2) / WIDTH_STEP) * WIDTH_STEP;
    const sheet = new OffscreenCanvas(columns, ROWS);
    const context = sheet.getContext('2d');
    if (context === null) throw new Error('canvas: has no 2d context');
    context.fillStyle = '#fff';
    context.fillRect(0, 0, columns, ROWS);
    context.imageSmoothingQuality = 'high';
    context.drawImage(
      this.#canvas,
      box.x,
      box.y,
      box.width,
      box.height,
      ROWS / 4,
      (ROWS - high) / 2,
      wide,
      high,
    );
    const { data } = context.getImageData(0, 0, columns, ROWS);
    const ink = Float32Array.from({ length: columns * ROWS }, (_, at) => inkOf(data, at));
    return { width: columns, height: ROWS, ink };
  }

  #paint({ width, height, ink }: InkPicture): void {
    const image = new ImageData(width, height);
    for (const [at, value] of ink.entries()) {
      image.data.fill(Math.round(255 * (1 - value)), at * RGBA, at * RGBA + 3);
      image.data[at * RGBA + 3] = 255;
    }
    const sheet = new OffscreenCanvas(width, height);
    sheet.getContext('2d')?.putImageData(image, 0, 0);
    const scale = Math.min(this.#canvas.width / width, this.#canvas.height / height);
    this.#context.drawImage(
      sheet,
      (this.#canvas.width - width * scale) / 2,
      (this.#canvas.height - height * scale) / 2,
      width * scale,
      height * scale,
    );
  }

  #stroke(event: PointerEvent): void {
    if (this.#last === null) return;
    const to = this.#at(event);
    this.#context.strokeStyle = '#000';
    this.#context.lineWidth = PEN;
    this.#context.lineCap = 'round';
    this.#context.beginPath();
    this.#context.moveTo(this.#last.x, this.#last.y);
    this.#context.lineTo(to.x, to.y);
    this.#context.stroke();
    this.#last = to;
    this.#onInk();
  }

  #at({ offsetX, offsetY }: PointerEvent): { readonly x: number; readonly y: number } {
    const { width, height, clientWidth, clientHeight } = this.#canvas;
    return { x: (offsetX * width) / clientWidth, y: (offsetY * height) / clientHeight };
  }
}

function inkOf(data: Uint8ClampedArray, pixel: number): number {
  const at = pixel * RGBA;
  const [red, green, blue] = [data[at] ?? 0, data[at + 1] ?? 0, data[at + 2] ?? 0];
  return 1 - (0.299 * red + 0.587 * green + 0.114 * blue) / 255;
}

function inkBox({ data, width, height }: ImageData): DOMRect | null {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (inkOf(data, y * width + x) < INK) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y + 1);
    }
  }
  return right <= left ? null : new DOMRect(left, top, right - left, bottom - top);
}
