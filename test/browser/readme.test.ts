import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchChromium } from '../support/chromium.mjs';
import { examplesOf } from '../support/doc-examples.js';
import { servePage } from '../support/page-server.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const weights = readFileSync(
  createRequire(import.meta.url).resolve('@ricky0123/vad-web/dist/silero_vad_v5.onnx'),
);
const DIGEST = 'fsverity-sha256-12:c6f20d8519a6ade9804e970bbd5f416222441bfc9c6a6fb0a02498df303ad362';

// The example uses the built package by its name, as a reader would: npm run build comes first.
describe('the page example of README.md', () => {
  let browser: Browser;
  let folder: string;
  let server: Awaited<ReturnType<typeof servePage>>;

  beforeAll(async () => {
    mkdirSync(`${root}.cache`, { recursive: true });
    folder = mkdtempSync(`${root}.cache/page-`);
    const [example] = examplesOf('README.md').filter(({ forPages }) => forPages);
    writeFileSync(join(folder, 'page.js'), example?.code ?? '');
    server = await servePage(join(folder, 'page.js'), { '/model.safetensors': weights });
    ({ browser } = await launchChromium());
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** What the page says, or its first error, under a content security policy. */
  async function outcome(policy: string): Promise<string> {
    const page = await browser.newPage();
    await page.route(server.url, async (route) => {
      const response = await route.fetch();
      await route.fulfill({
        response,
        headers: { ...response.headers(), 'content-security-policy': policy },
      });
    });
    const failed = new Promise<string>((resolve) => page.on('pageerror', ({ message }) => resolve(message)));
    await page.goto(server.url);
    const said = page
      .waitForFunction(() => document.body?.textContent?.includes('verified'), undefined, { timeout: 50_000 })
      .then(() => page.evaluate(() => document.body.textContent));
    const first = await Promise.race([failed, said]);
    await page.close();
    await said.catch(() => undefined);
    return String(first);
  }

  it.each(["script-src 'self' 'wasm-unsafe-eval'", "default-src 'self' 'wasm-unsafe-eval'"])(
    'runs under %s',
    { timeout: 60_000 },
    async (policy) => {
      expect(await outcome(policy)).toMatch(
        new RegExp(`^(host|unproven): ${DIGEST}, verified in place: true$`),
      );
    },
  );

  it.each(["script-src 'self'", "default-src 'self'"])(
    'does not run under %s, which forbids WebAssembly',
    { timeout: 60_000 },
    async (policy) => {
      expect(await outcome(policy)).toContain('WebAssembly');
    },
  );
});
