import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchChromium } from '../support/chromium.mjs';
import { quantizedBlock } from '../support/engine-models.js';
import { servePage } from '../support/page-server.mjs';
import type { EnginePageReport } from './report.js';

declare global {
  // What onnxruntime-page.ts leaves on its global object.
  var enginePage: { computeOnSealed(): Promise<EnginePageReport> };
}

const WASM = 'ort-wasm-simd-threaded.asyncify.wasm';

describe('ONNX Runtime Web in a page', () => {
  let browser: Browser;
  let page: Page;
  let server: Awaited<ReturnType<typeof servePage>>;
  const complaints: string[] = [];

  beforeAll(async () => {
    const engine = createRequire(import.meta.url).resolve('onnxruntime-web');
    server = await servePage(fileURLToPath(new URL('onnxruntime-page.ts', import.meta.url)), {
      '/model.onnx': quantizedBlock(),
      [`/${WASM}`]: await readFile(join(dirname(engine), WASM)),
    });
    const started = await launchChromium();
    browser = started.browser;
    page = await browser.newPage();
    page.on('pageerror', (error) => complaints.push(error.stack ?? error.message));
    await page.goto(server.url);
    await page.waitForFunction(() => 'enginePage' in globalThis);
  }, 240_000);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  it('computes on sealed weights as the CPU does on plain ones; damage, healing and a lost device end each in their way', {
    timeout: 600_000,
  }, async () => {
    const report = await page.evaluate(() => globalThis.enginePage.computeOnSealed());
    expect(report.relativeError).toBeLessThan(1e-5);
    expect(report).toMatchObject({
      verified: true,
      witness: { readWrite: 0, unknown: 0, copies: 0, tensors: 9, sealedTensors: 9 },
      damaged: 'INTEGRITY_VIOLATION',
      healedToSameBits: true,
      lost: 'DEVICE_LOST',
    });
    expect(complaints).toEqual([]);
  });
});
