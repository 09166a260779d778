// A line of text as a picture, drawn from strokes: the demo needs no font and no image file.

/** Rows of a picture: what PP-OCR's recogniser takes. */
export const HEIGHT = 48;
const MARGIN = 8;
const TOP = 10;
const CELL = 16;
const UNIT_X = 2.6;
const UNIT_Y = 4.5;
const PEN = 1.7;

// Each glyph is a list of strokes, each stroke a list of points on a grid 4 wide and 6 high, y down.
const GLYPHS = new Map(
  Object.entries({
    ' ': [],
    A: ['0,6 2,0 4,6', '0.7,4 3.3,4'],
    D: ['0,0 0,6 2,6 3.4,5.3 4,4 4,2 3.4,0.7 2,0 0,0'],
    E: ['4,0 0,0 0,6 4,6', '0,3 3.2,3'],
    G: ['3.9,1.2 3.2,0.3 2,0 0.8,0.4 0.1,1.6 0,3 0.1,4.4 0.8,5.6 2,6 3.2,5.7 4,4.8 4,3.3 2.4,3.3'],
    H: ['0,0 0,6', '4,0 4,6', '0,3 4,3'],
    I: ['2,0 2,6'],
    L: ['0,0 0,6 4,6'],
    O: ['2,0 0.7,0.5 0,2 0,4 0.7,5.5 2,6 3.3,5.5 4,4 4,2 3.3,0.5 2,0'],
    P: ['0,6 0,0 2.6,0 3.7,0.5 4,1.6 3.7,2.7 2.6,3.2 0,3.2'],
    R: ['0,6 0,0 2.6,0 3.7,0.5 4,1.6 3.7,2.7 2.6,3.2 0,3.2', '2.2,3.2 4,6'],
    S: ['4,1 3.4,0.3 2,0 0.6,0.3 0,1.4 0.6,2.5 2,3 3.4,3.5 4,4.6 3.4,5.7 2,6 0.6,5.7 0,5'],
    T: ['0,0 4,0', '2,0 2,6'],
    U: ['0,0 0,4.3 0.7,5.6 2,6 3.3,5.6 4,4.3 4,0'],
    W: ['0,0 1,6 2,1.5 3,6 4,0'],
  }),
);

/**
 * Draws a line of text, dark on light. Characters: space and the letters that GLYPHS has.
 * Returns `ink`: one value a pixel, row by row, from 0 (paper) to 1 (ink).
 */
export function drawText(text) {
  const width = 2 * MARGIN + CELL * text.length;
  const ink = new Float32Array(width * HEIGHT);
  for (const [at, character] of [...text].entries()) {
    const strokes = GLYPHS.get(character);
    if (strokes === undefined) throw new Error(`text: there is no glyph for ${JSON.stringify(character)}`);
    for (const stroke of strokes) {
      const points = stroke.split(' ').map((point) => {
        const [x, y] = point.split(',').map(Number);
        return [MARGIN + CELL * at + UNIT_X * x, TOP + UNIT_Y * y];
      });
      for (let to = 1; to < points.length; to++) drawLine(ink, width, points[to - 1], points[to]);
    }
  }
  return { width, height: HEIGHT, ink };
}

function drawLine(ink, width, [x1, y1], [x2, y2]) {
  const [dx, dy] = [x2 - x1, y2 - y1];
  const squared = dx * dx + dy * dy;
  const reach = PEN + 1;
  for (let y = Math.floor(Math.min(y1, y2) - reach); y <= Math.max(y1, y2) + reach; y++) {
    for (let x = Math.floor(Math.min(x1, x2) - reach); x <= Math.max(x1, x2) + reach; x++) {
      if (x < 0 || x >= width || y < 0 || y >= HEIGHT) continue;
      const along = ((x + 0.5 - x1) * dx + (y + 0.5 - y1) * dy) / squared;
      const nearest = Math.max(0, Math.min(1, along));
      const distance = Math.hypot(x + 0.5 - x1 - nearest * dx, y + 0.5 - y1 - nearest * dy);
      // The last half pixel fades, which is what anti-aliasing is.
      const covered = Math.max(0, Math.min(1, PEN - distance + 0.5));
      ink[y * width + x] = Math.max(ink[y * width + x], covered);
    }
  }
}

// Bits of a braille cell for its 2 x 4 dots, row by row.
const DOTS = [0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80];

/** The picture as lines of braille characters, 2 x 4 pixels each; empty rows above and below are left out. */
export function asTerminalLines({ width, height, ink }) {
  const lines = [];
  for (let y = 0; y < height; y += 4) {
    let line = '';
    for (let x = 0; x < width; x += 2) {
      const bits = DOTS.reduce((set, bit, dot) => {
        const pixel = (y + (dot >> 1)) * width + x + (dot & 1);
        return (ink[pixel] ?? 0) > 0.5 ? set | bit : set;
      }, 0);
      line += String.fromCodePoint(0x2800 + bits);
    }
    lines.push(line);
  }
  const isEmpty = (line) => /^\u2800*$/.test(line);
  while (lines.length > 0 && isEmpty(lines[0])) lines.shift();
  while (lines.length > 0 && isEmpty(lines[lines.length - 1])) lines.pop();
  return lines;
}
