// The picture of the blocks, compared with the ones that are kept in test/browser/pictures.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright';
import { expect } from 'vitest';
import { SHOTS } from './demo-visit.js';

const FOLDER = fileURLToPath(new URL('./pictures', import.meta.url));
/** Writes the kept pictures anew instead of comparing with them. */
const WRITE = process.env['VRAM_RESIDENCY_WRITE_PICTURES'] === '1';
/** A channel may differ by this much: browsers blend edges in their own ways. */
const CHANNEL = 12;
/** Pixels that may differ by more, as a share of all. */
const SHARE = 0.002;

/**
 * Fails unless the blocks look as they are kept under `name`. Their canvases alone are compared: no letters, which differ
 * from system to system, no measured times, no animation. What was seen lies in the folder of screenshots either way.
 */
export async function expectPicture(page: Page, name: string): Promise<void> {
  // What has changed is drawn in the next frame.
  await page.evaluate(
    () => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))),
  );
  const seen = Buffer.from(await page.evaluate(drawn), 'base64');
  await mkdir(SHOTS, { recursive: true });
  await writeFile(join(SHOTS, `map-${name}.png`), seen);
  const path = join(FOLDER, `${name}.png`);
  if (WRITE) {
    await mkdir(FOLDER, { recursive: true });
    await writeFile(path, seen);
    return;
  }
  const kept = (await readFile(path)).toString('base64');
  const share = await page.evaluate(difference, {
    one: kept,
    other: seen.toString('base64'),
    channel: CHANNEL,
  });
  expect(share, `share of pixels of ${name} that differ from the kept picture`).toBeLessThanOrEqual(SHARE);
}

/** In the page: blocks and damage, one over the other, as PNG in base64. */
async function drawn(): Promise<string> {
  const [blocks, damage] = document.querySelectorAll<HTMLCanvasElement>('#map-frame canvas');
  if (blocks === undefined || damage === undefined) throw new Error('there is no picture');
  const whole = new OffscreenCanvas(blocks.width, blocks.height);
  const context = whole.getContext('2d');
  for (const layer of [blocks, damage]) context?.drawImage(layer, 0, 0);
  const bytes = new Uint8Array(await (await whole.convertToBlob()).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}

/** In the page: the share of pixels that differ; 1 where the sizes do. */
async function difference(given: { one: string; other: string; channel: number }): Promise<number> {
  const read = async (base64: string): Promise<ImageData> => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
    if (context === null) throw new Error('no 2d context');
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, bitmap.width, bitmap.height);
  };
  const [one, other] = [await read(given.one), await read(given.other)];
  if (one.width !== other.width || one.height !== other.height) return 1;
  let differ = 0;
  for (let at = 0; at < one.data.length; at += 4) {
    const far = [0, 1, 2, 3].some(
      (channel) => Math.abs((one.data[at + channel] ?? 0) - (other.data[at + channel] ?? 0)) > given.channel,
    );
    if (far) differ += 1;
  }
  return (4 * differ) / one.data.length;
}
