// The page of examples/browser, by clicks, as a visitor would use it.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { buildWeb, MOST_PAGE_BYTES, type WebBuild } from '../../scripts/build-web.mjs';
import { serveWeb } from '../../scripts/serve-web.mjs';
import { safetensorsFile } from '../fuzz/build.mjs';
import { launchChromium } from '../support/chromium.mjs';
import { program } from '../support/cli.js';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
/** Where screenshots go. */
const SHOTS =
  process.env['VRAM_RESIDENCY_SHOTS'] ?? fileURLToPath(new URL('../../build/screenshots', import.meta.url));
const BLOCK = 4_096;
const BLOCKS = 300;

/** Three tensors, of bytes without a pattern. */
function model(): Buffer {
  const lengths = { 'embed.weight': 40 * BLOCK, 'layer.0.weight': 200 * BLOCK, 'head.weight': 0 };
  lengths['head.weight'] = BLOCKS * BLOCK - lengths['embed.weight'] - lengths['layer.0.weight'] - BLOCK;
  const header: Record<string, unknown> = {};
  let offset = 0;
  for (const [name, length] of Object.entries(lengths)) {
    header[name] = { dtype: 'U8', shape: [length], data_offsets: [offset, offset + length] };
    offset += length;
  }
  const data = Buffer.concat(
    Array.from({ length: Math.ceil(offset / 64) }, (_, at) => createHash('sha512').update(`${at}`).digest()),
  ).subarray(0, offset);
  return Buffer.from(safetensorsFile(header, data));
}

describe('the page of examples/browser', { timeout: 120_000 }, () => {
  let folder: string;
  let built: WebBuild;
  let server: Awaited<ReturnType<typeof serveWeb>>;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let complaints: string[];
  let asked: string[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vram-page-'));
    built = await buildWeb(join(folder, 'web'));
    server = await serveWeb(built.folder);
    ({ browser } = await launchChromium());
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  beforeEach(async () => {
    context = await browser.newContext({
      viewport: { width: 1280, height: 860 },
      colorScheme: 'light',
      acceptDownloads: true,
    });
    page = await context.newPage();
    complaints = [];
    asked = [];
    page.on('pageerror', (error) => complaints.push(error.stack ?? error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    context.on('request', (request) => asked.push(request.url()));
  });
  afterEach(async () => {
    await context.close();
    expect(complaints).toEqual([]);
    expect(asked.filter((url) => !url.startsWith(server.url) && !url.startsWith('blob:'))).toEqual([]);
  });

  async function shot(name: string): Promise<void> {
    await mkdir(SHOTS, { recursive: true });
    await page.screenshot({ path: join(SHOTS, `page-${name}.png`), fullPage: true });
  }

  /** What axe-core finds wrong, in short. */
  async function violations(): Promise<string[]> {
    // By the debugger, not by a script element: the page's policy allows none but its own.
    await page.evaluate(await readFile(AXE, 'utf8'));
    return await page.evaluate(async () => {
      const { axe } = globalThis as unknown as {
        axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
      };
      const found = await axe.run();
      return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
    });
  }

  const press = (name: string): Promise<void> => page.getByRole('button', { name, exact: true }).click();
  const headline = (text: string | RegExp): Promise<void> =>
    page.getByRole('heading', { level: 1, name: text }).waitFor({ timeout: 60_000 });

  async function choose(name: string, buffer: Buffer): Promise<void> {
    const file = { name, mimeType: 'application/octet-stream', buffer };
    await page.getByLabel('Model file').setInputFiles(file);
  }

  it('starts without a fault that axe-core finds', async () => {
    await page.goto(server.url);
    await headline(/Seal a model/);
    await expectNoFault('start');
  });

  it('seals a file, finds what was flipped, heals it, and leaves a log that the command line accepts', async () => {
    await page.addInitScript(() => {
      const tasks: number[] = [];
      new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) tasks.push(duration);
      }).observe({ entryTypes: ['longtask'] });
      Object.assign(globalThis, { tasks });
    });
    await page.goto(`${server.url}?seed=5`);
    await headline(/Seal a model/);
    await choose('tiny.safetensors', model());
    await headline('Sealed');
    await page.getByText(`${BLOCKS} blocks of 4,096 bytes lie in main memory`).waitFor();
    await press('Verify');
    await headline('Every block is as it was sealed');
    await page.getByText(/hashed where they lie in .* came back from the device/).waitFor();
    await shot('verified');

    await press('Flip one bit');
    await headline('One bit was flipped');
    await page.getByText(/Bit \d of byte [\d,]+, in block \d+ of \S+\. Nothing has noticed/).waitFor();
    await press('Verify');
    await headline('Caught: 1 block is not what was sealed');
    await page.getByText(/^Block \d+ of \S+\. Nothing may use the model/).waitFor();
    await shot('damage');

    await page.getByRole('button', { name: 'Heal' }).focus();
    await page.keyboard.press('Enter');
    await headline('Healed 1 block');
    await shot('healed');
    await press('Flip 64 bits');
    await headline('64 bits were flipped');
    await press('Heal');
    await headline(/Healed \d\d blocks/);
    await press('Compare with reading back');
    await headline('The same answer, in two ways');
    await page.getByText('WebCrypto SHA-256').waitFor();

    await press('Release');
    await headline('Released');
    const { loaded, tasks } = await page.evaluate(() => ({
      loaded: performance.getEntriesByType('navigation')[0]?.duration ?? Number.NaN,
      tasks: (globalThis as unknown as { tasks: number[] }).tasks,
    }));
    console.log(
      `page: ${built.total} bytes before a model is chosen, ${built.library} of the library; loaded in ` +
        `${loaded.toFixed(0)} ms; tasks of its thread over 50 ms: ${tasks.map((ms) => `${ms} ms`).join(', ') || 'none'}`,
    );
    expect(built.total).toBeLessThan(MOST_PAGE_BYTES);
    expect(await violations()).toEqual([]);

    const [download] = await Promise.all([page.waitForEvent('download'), press('Download the log')]);
    const log = join(folder, 'unpacked');
    await mkdir(log);
    await promisify(execFile)('tar', ['-xf', await download.path(), '-C', log]);
    const key = await readFile(join(log, 'vram-residency-audit/verifier-key'), 'utf8');
    const check = ['audit', 'verify', join(log, 'vram-residency-audit/log'), '--verifier-key', key.trim()];
    expect(await program(check)).toMatchObject({ code: 0 });
    const segment = await segmentOf(join(log, 'vram-residency-audit/log'));
    const text = await readFile(segment, 'utf8');
    await writeFile(segment, text.replace('vram.sealed', 'vram.seaIed'));
    expect(await program(check)).toMatchObject({ code: 6 });
  });

  it('takes a file after one that it refused, and names tensors under the pointer and the arrow keys', async () => {
    await page.goto(server.url);
    await choose('empty.gguf', Buffer.alloc(0));
    await page.getByText('The file is empty').waitFor();
    await choose('tiny.safetensors', model());
    await headline('Sealed');
    const picture = page.getByRole('slider', { name: 'Tensor' });
    await picture.hover({ position: { x: 12, y: 12 } });
    await page.getByText('embed.weight  U8').waitFor();
    await picture.focus();
    await page.keyboard.press('End');
    await page.getByText('head.weight  U8').waitFor();
    await page.keyboard.press('ArrowLeft');
    expect(await picture.getAttribute('aria-valuetext')).toMatch(/^layer\.0\.weight/);

    // Dark, on a phone, and from right to left.
    await press('Flip one bit');
    await headline('One bit was flipped');
    await page.emulateMedia({ colorScheme: 'dark' });
    await expectNoFault('dark');
    await page.emulateMedia({ colorScheme: 'light' });
    await page.setViewportSize({ width: 375, height: 800 });
    await expectNoFault('phone');
    await page.setViewportSize({ width: 1_280, height: 800 });
    await page.evaluate(() => {
      document.documentElement.dir = 'rtl';
    });
    await expectNoFault('rtl');
  });

  it('lets one model go for another, and says when the device is lost', async () => {
    await changeWorker(`
      const ask = GPUAdapter.prototype.requestDevice;
      GPUAdapter.prototype.requestDevice = async function (descriptor) {
        const device = await ask.call(this, descriptor);
        new BroadcastChannel('lose').onmessage = () => device.destroy();
        return device;
      };`);
    await page.goto(server.url);
    await choose('tiny.safetensors', model());
    await headline('Sealed');
    await press('Another model');
    await choose('plain.bin', Buffer.alloc(9_000, 7));
    await page.getByText('no safetensors, GGUF or ONNX file').waitFor();
    await headline('Sealed');
    await page.evaluate(() => new BroadcastChannel('lose').postMessage(null));
    await headline('The seal is void');
    await press('Another model');
    await choose('tiny.safetensors', model());
    await headline('Sealed');
    await press('Verify');
    await headline('Every block is as it was sealed');
  });

  it('works on the host device where there is no WebGPU, and says so', async () => {
    await changeWorker(`Object.defineProperty(navigator, 'gpu', { value: undefined });`);
    await page.goto(server.url);
    await choose('tiny.safetensors', model());
    await headline('Sealed');
    await page.getByText('this browser has no WebGPU').waitFor();
    await press('Flip one bit');
    await headline('One bit was flipped');
    await press('Verify');
    await headline('Caught: 1 block is not what was sealed');
  });

  /** Runs `script` in the page's worker before anything else. */
  async function changeWorker(script: string): Promise<void> {
    await page.route('**/worker.js', async (route) => {
      const answer = await route.fetch();
      await route.fulfill({ response: answer, body: `${script}\n${await answer.text()}` });
    });
  }

  /** Nothing that axe-core finds, and nothing over the edge. */
  async function expectNoFault(name: string): Promise<void> {
    await shot(name);
    expect(await violations(), name).toEqual([]);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(over, name).toBeLessThanOrEqual(0);
  }
});

/** The log's only file of records. */
async function segmentOf(folder: string): Promise<string> {
  const name = (await readdir(folder)).find((one) => one.endsWith('.ndjson'));
  if (name === undefined) throw new Error('the log has no segment');
  return join(folder, name);
}
