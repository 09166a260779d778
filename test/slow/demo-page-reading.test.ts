// The story of the page with its text reader, by clicks: it reads, reads wrongly, is refused, and reads right again.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildWeb } from '../../scripts/build-web.mjs';
import { serveWeb } from '../../scripts/serve-web.mjs';
import { launchChromium } from '../support/chromium.mjs';

/** Where screenshots go. */
const SHOTS =
  process.env['VRAM_RESIDENCY_SHOTS'] ?? fileURLToPath(new URL('../../build/screenshots', import.meta.url));
const WORDS = 'HELLO GPU';
/** On a software adapter the engine takes minutes to compile its kernels while the machine is busy. */
const PATIENCE_MS = 600_000;

describe('the page reads a line with sealed weights', { timeout: 4 * PATIENCE_MS }, () => {
  let folder: string;
  let server: Awaited<ReturnType<typeof serveWeb>>;
  let browser: Browser;
  let page: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vram-page-'));
    server = await serveWeb((await buildWeb(join(folder, 'web'))).folder);
    ({ browser } = await launchChromium());
    page = await browser.newPage({ viewport: { width: 1_280, height: 860 }, colorScheme: 'light' });
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('pageerror', (error) => complaints.push(error.stack ?? error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
  }, 240_000);
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const press = (name: string): Promise<void> => page.getByRole('button', { name, exact: true }).click();
  const headline = (name: string | RegExp): Promise<void> =>
    page.getByRole('heading', { level: 1, name }).waitFor();

  async function shot(name: string): Promise<void> {
    await mkdir(SHOTS, { recursive: true });
    await page.screenshot({ path: join(SHOTS, `reading-${name}.png`), fullPage: true });
  }

  /** Presses a button and gives the newest reading: its text, and how it came about. */
  async function read(button: string): Promise<{ text: string; how: string }> {
    const readings = page.locator('#readings li');
    const before = await readings.count();
    await press(button);
    await readings.nth(before).waitFor();
    const newest = readings.first();
    return {
      text: (await newest.locator('.text').textContent()) ?? '',
      how: (await newest.locator('.how').textContent()) ?? '',
    };
  }

  it('right, wrong after damage, refused, and right once healed', async () => {
    await page.goto(`${server.url}?seed=9`);
    await press('Use the bundled text reader');
    await headline('Sealed');
    await press('Verify');
    await headline('Every block is as it was sealed');
    await press('Compare with reading back');
    await headline('The same answer, in two ways');
    await shot('compared');

    const first = await read('Verify, then read');
    expect(first).toMatchObject({
      text: WORDS,
      how: expect.stringMatching(/^122 sealed tensors, verified in /),
    });
    await shot('read');
    await press('Flip 64 bits');
    await headline('64 bits were flipped');
    const damaged = await read('Read unchecked');
    expect(damaged.text).not.toBe(WORDS);
    expect(damaged.how).toContain('Weights not checked for this.');
    await shot('misread');

    expect(await read('Verify, then read')).toMatchObject({ text: 'Refused' });
    await headline(/^Caught: \d\d blocks are not what was sealed$/);
    await shot('refused');
    expect(await read('Read unchecked')).toMatchObject({ text: 'Refused' });

    await press('Heal');
    await headline(/^Healed \d\d blocks$/);
    const again = await read('Verify, then read');
    expect(again.text).toBe(WORDS);
    await shot('healed');
    console.log(
      `page: read "${first.text}" (${first.how}), damaged "${damaged.text}", healed "${again.text}"`,
    );
    for (const row of await page.locator('#times li').allTextContents()) console.log(`page: ${row}`);
    expect(complaints).toEqual([]);
  });
});
