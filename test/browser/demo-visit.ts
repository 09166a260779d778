// The page of examples/browser as a visitor meets it: built, served on loopback, and used by clicks.
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Page } from 'playwright';
import { expect } from 'vitest';
import { buildWeb, type WebBuild } from '../../scripts/build-web.mjs';
import { serveWeb } from '../../scripts/serve-web.mjs';
import { safetensorsFile } from '../fuzz/build.mjs';
import { launchChromium } from '../support/chromium.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
/** Where screenshots go. */
export const SHOTS =
  process.env['VRAM_RESIDENCY_SHOTS'] ?? fileURLToPath(new URL('../../build/screenshots', import.meta.url));
const BLOCK = 4_096;
export const BLOCKS = 300;

/** A safetensors file of 300 blocks, or of more: three tensors, of bytes without a pattern. */
export function demoModel(blocks = BLOCKS): Buffer {
  const lengths = { 'embed.weight': 40 * BLOCK, 'layer.0.weight': 200 * BLOCK, 'head.weight': 0 };
  lengths['head.weight'] = blocks * BLOCK - lengths['embed.weight'] - lengths['layer.0.weight'] - BLOCK;
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

/** The built page, its server and the browser, for all visits of a test file. */
export class DemoSite {
  readonly folder: string;
  readonly built: WebBuild;
  readonly url: string;
  readonly #server: Awaited<ReturnType<typeof serveWeb>>;
  readonly #browser: Browser;

  private constructor(
    folder: string,
    built: WebBuild,
    server: Awaited<ReturnType<typeof serveWeb>>,
    browser: Browser,
  ) {
    this.folder = folder;
    this.built = built;
    this.url = server.url;
    this.#server = server;
    this.#browser = browser;
  }

  /** `launch`: another browser than the Chromium with WebGPU. */
  static async open(launch = async () => (await launchChromium()).browser): Promise<DemoSite> {
    const folder = await mkdtemp(join(tmpdir(), 'vram-page-'));
    const built = await buildWeb(join(folder, 'web'));
    return new DemoSite(folder, built, await serveWeb(built.folder), await launch());
  }

  async visit(): Promise<Visit> {
    const context = await this.#browser.newContext({
      viewport: { width: 1280, height: 860 },
      colorScheme: 'light',
      acceptDownloads: true,
    });
    return new Visit(this.url, context, await context.newPage());
  }

  async close(): Promise<void> {
    await this.#browser.close();
    await this.#server.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** One visitor, with a profile of their own. */
export class Visit {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly #url: string;
  readonly #complaints: string[] = [];
  readonly #asked: string[] = [];

  constructor(url: string, context: BrowserContext, page: Page) {
    this.#url = url;
    this.context = context;
    this.page = page;
    page.setDefaultTimeout(60_000);
    context.on('request', (request) => this.#asked.push(request.url()));
    this.watch(page);
  }

  /** Uncaught errors and error messages of this page fail the test. */
  watch(page: Page): void {
    page.on('pageerror', (error) => this.#complaints.push(error.stack ?? error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') this.#complaints.push(message.text());
    });
  }

  /** Names of the page's files that were asked for, each once. */
  files(): string[] {
    const names = this.#asked.map((url) => new URL(url).pathname.slice(1));
    return [...new Set(names.map((name) => (name === '' ? 'index.html' : name)))];
  }

  async open(query = ''): Promise<void> {
    await this.page.goto(`${this.#url}${query}`);
    await this.headline(/Seal a model/);
  }

  /** Ends the visit: nothing has gone wrong unseen, and nobody but the page's own server was asked for anything. */
  async end(): Promise<void> {
    await this.context.close();
    expect(this.#complaints).toEqual([]);
    expect(this.#asked.filter((url) => !url.startsWith(this.#url) && !url.startsWith('blob:'))).toEqual([]);
  }

  async press(name: string): Promise<void> {
    await this.page.getByRole('button', { name, exact: true }).click();
  }

  async headline(name: string | RegExp): Promise<void> {
    await this.page.getByRole('heading', { level: 1, name }).waitFor();
  }

  async choose(name: string, buffer: Buffer): Promise<void> {
    const file = { name, mimeType: 'application/octet-stream', buffer };
    await this.page.getByLabel('Model file').setInputFiles(file);
  }

  /** Drops a file on the page, as from the desktop. */
  async drop(name: string, bytes: Uint8Array): Promise<void> {
    const transfer = await this.page.evaluateHandle(
      ([fileName, base64]) => {
        const content = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([content], fileName));
        return data;
      },
      [name, Buffer.from(bytes).toString('base64')] as const,
    );
    for (const type of ['dragover', 'drop'])
      await this.page.dispatchEvent('#drop', type, { dataTransfer: transfer });
  }

  /** Seals the file of demoModel(). */
  async sealDemo(): Promise<void> {
    await this.choose('tiny.safetensors', demoModel());
    await this.headline('Sealed');
  }

  /** Runs `script` in the page's worker before anything else. */
  async changeWorker(script: string): Promise<void> {
    await this.page.route('**/worker.js', async (route) => {
      const answer = await route.fetch();
      await route.fulfill({ response: answer, body: `${script}\n${await answer.text()}` });
    });
  }

  async shot(name: string): Promise<void> {
    await mkdir(SHOTS, { recursive: true });
    await this.page.screenshot({ path: join(SHOTS, `page-${name}.png`), fullPage: true });
  }

  /** What axe-core finds wrong, in short. */
  async violations(): Promise<string[]> {
    // By the debugger, not by a script element: the page's policy allows none but its own.
    await this.page.evaluate(await readFile(AXE, 'utf8'));
    return await this.page.evaluate(async () => {
      const { axe } = globalThis as unknown as {
        axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
      };
      const found = await axe.run();
      return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
    });
  }

  /** Nothing that axe-core finds, and nothing over the edge; leaves a screenshot. */
  async expectNoFault(name: string): Promise<void> {
    await this.shot(name);
    expect(await this.violations(), name).toEqual([]);
    const over = await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(over, name).toBeLessThanOrEqual(0);
  }
}
