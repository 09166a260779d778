import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { launchChromium } from '../support/chromium.mjs';
import { servePage } from '../support/page-server.mjs';
import type { Line } from './pad-page.js';

declare global {
  // What pad-page.ts leaves on its global object.
  var padPage: {
    line(): Line | null;
    picture(width: number, height: number): Promise<void>;
    noPicture(): Promise<string>;
    clear(): void;
    strokes(): number;
  };
}

describe('the sheet that one writes on', { timeout: 60_000 }, () => {
  let browser: Browser;
  let page: Page;
  let server: Awaited<ReturnType<typeof servePage>>;

  beforeAll(async () => {
    server = await servePage(fileURLToPath(new URL('./pad-page.ts', import.meta.url)));
    ({ browser } = await launchChromium());
    page = await browser.newPage({ viewport: { width: 800, height: 300 } });
    await page.goto(server.url);
    await page.waitForFunction(() => 'padPage' in globalThis);
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });
  beforeEach(async () => {
    await page.evaluate(() => globalThis.padPage.clear());
  });

  const line = (): Promise<Line | null> => page.evaluate(() => globalThis.padPage.line());

  /** Draws with the mouse, in CSS pixels of the sheet. */
  async function draw(points: readonly (readonly [number, number])[]): Promise<void> {
    const sheet = await page.locator('canvas').boundingBox();
    if (sheet === null) throw new Error('there is no sheet');
    for (const [at, [x, y]] of points.entries()) {
      await page.mouse.move(sheet.x + x, sheet.y + y);
      if (at === 0) await page.mouse.down();
    }
    await page.mouse.up();
  }

  it('has no line while it is empty', async () => {
    expect(await line()).toBeNull();
  });

  it('takes what is written by hand, cut out and scaled to 48 rows', async () => {
    const before = await page.evaluate(() => globalThis.padPage.strokes());
    await draw([
      [100, 20],
      [100, 80],
      [200, 80],
    ]);
    expect(await page.evaluate(() => globalThis.padPage.strokes())).toBeGreaterThan(before);
    const first = await line();
    // 100 by 60 CSS pixels with a pen of 4.5: a line of 33.6 rows is some 55 columns wide, and the margins 24.
    expect(first).toMatchObject({ width: 96, height: 48 });
    expect(first?.ink).toBeGreaterThan(100);
    // Moving without a button pressed writes nothing.
    await page.mouse.move(300, 40);
    expect(await line()).toEqual(first);
    await draw([
      [300, 20],
      [300, 80],
    ]);
    expect((await line())?.width).toBeGreaterThan(96);
  });

  it('takes a picture as large as it fits, wide or high', async () => {
    await page.evaluate(() => globalThis.padPage.picture(900, 90));
    const wide = await line();
    await page.evaluate(() => globalThis.padPage.picture(90, 900));
    const high = await line();
    // The bar is 300 by 45 of the first picture, and 30 by 450 of the second.
    expect(wide?.width).toBeGreaterThan(200);
    expect(high?.width).toBe(32);
    expect(wide?.height).toBe(48);
    expect(high?.height).toBe(48);
  });

  it('keeps what is there when a file is no picture', async () => {
    await page.evaluate(() => globalThis.padPage.picture(300, 90));
    const before = await line();
    expect(await page.evaluate(() => globalThis.padPage.noPicture())).toBe('InvalidStateError');
    expect(await line()).toEqual(before);
  });
});
