import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchChromium } from '../support/chromium.mjs';
import { servePage } from '../support/page-server.mjs';

declare global {
  // What block-map-page.ts leaves on its global object.
  var mapPage: {
    sweep(blocks: number, frames: number, damagedBlocks: number): Promise<number[]>;
    redPixels(): number;
  };
}

/** Where the trace goes. */
const SHOTS =
  process.env['VRAM_RESIDENCY_SHOTS'] ?? fileURLToPath(new URL('../../build/screenshots', import.meta.url));
const BLOCKS = 1_000_000;
const FRAMES = 150;

describe('the picture of the blocks', { timeout: 60_000 }, () => {
  let browser: Browser;
  let page: Page;
  let server: Awaited<ReturnType<typeof servePage>>;

  beforeAll(async () => {
    server = await servePage(fileURLToPath(new URL('block-map-page.ts', import.meta.url)));
    ({ browser } = await launchChromium());
    page = await browser.newPage({ viewport: { width: 1_280, height: 800 } });
    await page.goto(server.url);
    await page.waitForFunction(() => 'mapPage' in globalThis);
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  async function sweep(frames: number, damagedBlocks: number): Promise<number[]> {
    return await page.evaluate(
      ([blocks, count, damaged]) => globalThis.mapPage.sweep(blocks, count, damaged),
      [BLOCKS, frames, damagedBlocks] as const,
    );
  }

  it('sweeps over a million blocks of a thousand tensors, and says how long scripting took', async () => {
    await browser.startTracing(page, { screenshots: false });
    const times = await sweep(FRAMES, 200);
    const trace = await browser.stopTracing();
    await mkdir(SHOTS, { recursive: true });
    await writeFile(join(SHOTS, 'block-map-trace.json'), trace);
    await page.screenshot({ path: join(SHOTS, 'block-map.png') });
    const sorted = times.toSorted((a, b) => a - b);
    const at = (share: number): string =>
      (sorted[Math.floor(sorted.length * share)] ?? Number.NaN).toFixed(2);
    console.log(
      `page's block map, ${BLOCKS} blocks: ${at(0.5)} ms a frame, p95 ${at(0.95)}, most ${at(0.999)}`,
    );
    expect(times).toHaveLength(FRAMES);
  });

  it('shows each damaged block among a million as a whole cell, and none where there is none', async () => {
    await sweep(1, 200);
    // Cells of 3 by 3 pixels, apart from each other.
    expect(await page.evaluate(() => globalThis.mapPage.redPixels())).toBe(200 * 9);
    await sweep(1, 0);
    expect(await page.evaluate(() => globalThis.mapPage.redPixels())).toBe(0);
  });
});
