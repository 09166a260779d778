// The page under test: the sheet that one writes on, alone.
import { Pad } from '../../examples/browser/view/pad.js';

export interface Line {
  readonly width: number;
  readonly height: number;
  /** All ink, 1 for a black pixel. */
  readonly ink: number;
}

const canvas = document.createElement('canvas');
canvas.width = 1_280;
canvas.height = 192;
canvas.style.cssText = 'display: block; width: 640px; height: 96px';
document.body.replaceChildren(canvas);
let strokes = 0;
const pad = new Pad(canvas, () => {
  strokes += 1;
});

function line(): Line | null {
  const seen = pad.line();
  if (seen === null) return null;
  return { width: seen.width, height: seen.height, ink: seen.ink.reduce((sum, value) => sum + value, 0) };
}

/** A white picture with a black bar over its middle third. */
async function picture(width: number, height: number): Promise<void> {
  const sheet = new OffscreenCanvas(width, height);
  const context = sheet.getContext('2d');
  if (context === null) throw new Error('no 2d context');
  context.fillStyle = '#fff';
  context.fillRect(0, 0, width, height);
  context.fillStyle = '#000';
  context.fillRect(width / 3, height / 4, width / 3, height / 2);
  await pad.picture(await sheet.convertToBlob());
}

/** What becomes of a file that is no picture. */
async function noPicture(): Promise<string> {
  try {
    await pad.picture(new Blob(['no picture'], { type: 'image/png' }));
    return 'taken';
  } catch (error) {
    return error instanceof Error ? error.name : 'unknown';
  }
}

Object.assign(globalThis, {
  padPage: { line, picture, noPicture, clear: () => pad.clear(), strokes: () => strokes },
});
