import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchChromium } from '../support/chromium.mjs';
import { examplesOf } from '../support/doc-examples.js';
import { quantizedBlock } from '../support/engine-models.js';
import { servePage } from '../support/page-server.mjs';
import { prepareVulkan } from '../support/vulkan.js';

// The examples use the built package by its name, as a reader would: npm run build comes first.
const root = fileURLToPath(new URL('../../', import.meta.url));
const { adapter } = await prepareVulkan();
const examples = examplesOf('docs/engines.md');
const WASM = 'ort-wasm-simd-threaded.asyncify.wasm';

describe.skipIf(adapter === 'host')('programs in docs/engines.md (skipped without a WebGPU adapter)', () => {
  let folder: string;

  beforeAll(() => {
    mkdirSync(`${root}.cache`, { recursive: true });
    folder = mkdtempSync(`${root}.cache/engines-`);
    writeFileSync(join(folder, 'model.onnx'), quantizedBlock());
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('are found, one for Node and one for pages', () => {
    expect(examples.map(({ forPages }) => forPages)).toEqual([false, true]);
  });

  it.each(examples.filter(({ forPages }) => !forPages))(
    '$name runs',
    { timeout: 600_000 },
    async ({ code }) => {
      writeFileSync(join(folder, 'example.mjs'), code);
      const vulkan =
        `import { prepareVulkan } from '${new URL('../support/vulkan.mjs', import.meta.url).href}'; ` +
        `await prepareVulkan();`;
      const { stdout } = await promisify(execFile)(process.execPath, ['example.mjs'], {
        cwd: folder,
        env: { ...process.env, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(vulkan)}` },
      });
      expect(stdout).toContain('22656 bytes sealed, 0 bytes stay in the graph');
      expect(stdout).toMatch(/\[ 4, 32 \] true \d+ binds of 9 tensors/);
    },
  );

  it.each(examples.filter(({ forPages }) => forPages))(
    '$name runs',
    { timeout: 600_000 },
    async ({ code }) => {
      writeFileSync(join(folder, 'page.js'), code);
      const engine = createRequire(import.meta.url).resolve('onnxruntime-web');
      const server = await servePage(join(folder, 'page.js'), {
        '/model.onnx': quantizedBlock(),
        [`/${WASM}`]: readFileSync(join(dirname(engine), WASM)),
      });
      const { browser } = await launchChromium();
      try {
        const page = await browser.newPage();
        const failed = new Promise<never>((_, reject) => page.on('pageerror', reject));
        await page.goto(server.url);
        const said = page.waitForFunction(() => document.body?.textContent?.includes('verified'), undefined, {
          timeout: 500_000,
        });
        await Promise.race([said, failed]);
        expect(await page.evaluate(() => document.body.textContent)).toMatch(
          /^y 4 x 32, verified true: \d+ binds of 9 tensors, 0 copies$/,
        );
      } finally {
        await browser.close();
        await server.close();
      }
    },
  );
});
