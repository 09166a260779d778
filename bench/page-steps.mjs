// The steps of the page of examples/browser that bench/page.mjs traces, by clicks.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildWeb } from '../scripts/build-web.mjs';
import { serveWeb } from '../scripts/serve-web.mjs';

const MIB = 2 ** 20;
const FILE_BYTES = 32 * MIB;
/** On a software adapter the engine takes long to compile its kernels. */
const PATIENCE_MS = 600_000;
/** The size of a usual photograph. */
const PHOTOGRAPH = { width: 4_000, height: 3_000 };

/** The page, built and served, in a new tab. `folder` is for the steps and is removed afterwards. */
export async function visitDemo(browser, use) {
  const folder = mkdtempSync(join(tmpdir(), 'vram-page-'));
  const site = await serveWeb((await buildWeb(join(folder, 'web'))).folder);
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  try {
    await use({ page, url: `${site.url}?seed=9`, folder });
  } finally {
    await context.close();
    await site.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const shows = (page, name) => page.getByRole('heading', { level: 1, name }).waitFor();
const press = (page, name) => page.getByRole('button', { name, exact: true }).click();

/** A file of 32 MiB: sealed, verified, damaged, healed. */
export function demoSteps({ page, url, folder }) {
  const chunk = new Uint8Array(MIB).map((_, at) => (at * 31) ^ (at >> 8));
  // By its path: the debugger would need as long to transfer the bytes as the page to seal them.
  const file = join(folder, 'weights.bin');
  writeFileSync(file, Buffer.concat(Array.from({ length: FILE_BYTES / MIB }, () => chunk)));
  const after = (button, name) => () => press(page, button).then(() => shows(page, name));
  return {
    open: () => page.goto(url),
    seal: () =>
      page
        .getByLabel('Model file')
        .setInputFiles(file)
        .then(() => shows(page, 'Sealed')),
    verify: after('Verify', 'Every block is as it was sealed'),
    'flip 64 bits': after('Flip 64 bits', '64 bits were flipped'),
    'verify, damaged': after('Verify', /^Caught/),
    heal: after('Heal', /^Healed/),
  };
}

/** The text reader: it reads typed words and a picture, reads wrongly, is refused, and reads right again. */
export async function readingSteps({ page, url, folder }) {
  const readings = page.locator('#readings li');
  const read = (button) => async () => {
    const before = await readings.count();
    await press(page, button);
    await readings.nth(before).waitFor();
  };
  const file = join(folder, 'line.png');
  const painter = await page.context().newPage();
  writeFileSync(file, Buffer.from(await painter.evaluate(photograph, PHOTOGRAPH), 'base64'));
  await painter.close();
  return {
    'open, and seal the reader': async () => {
      await page.goto(url);
      await press(page, 'Use the bundled text reader');
      await shows(page, 'Sealed');
    },
    'read, the first time': read('Verify, then read'),
    'type words': () => page.locator('#words').pressSequentially(' and more'),
    'choose a picture': async () => {
      await page.getByLabel('Picture of a line').setInputFiles(file);
      await page.waitForFunction(() => document.querySelector('#words').value === '');
      await page.waitForTimeout(1_000);
    },
    'read the picture': read('Verify, then read'),
    'flip 64 bits': () => press(page, 'Flip 64 bits').then(() => shows(page, '64 bits were flipped')),
    'read unchecked, damaged': read('Read unchecked'),
    refused: read('Verify, then read'),
    heal: () => press(page, 'Heal').then(() => shows(page, /^Healed/)),
    'read again': read('Verify, then read'),
  };
}

/** In a page: a line of words in the middle of a picture of that size, as PNG in base64. */
async function photograph({ width, height }) {
  const picture = new OffscreenCanvas(width, height);
  const context = picture.getContext('2d');
  context.fillStyle = '#fff';
  context.fillRect(0, 0, width, height);
  context.fillStyle = '#000';
  context.font = `${width / 8}px sans-serif`;
  context.textAlign = 'center';
  context.fillText('HELLO GPU', width / 2, height / 2);
  const bytes = new Uint8Array(await (await picture.convertToBlob()).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}
