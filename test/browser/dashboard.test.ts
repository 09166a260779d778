import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ModelView, WorkerStatus } from '../../src/api-schema/index.js';
import { systemClock } from '../../src/base/index.js';
import { Admission, type Listener, listen, Tokens, workerApp } from '../../src/worker/http/index.js';
import { launchChromium } from '../support/chromium.mjs';
import { MIB, type Rig, rig } from '../unit/worker/fixture.js';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
/** Where screenshots go; none are taken without it. */
const SHOTS = process.env['VRAM_RESIDENCY_SHOTS'];
/** Where Chromium's own trace of the block map goes, for its performance panel; none is made without it. */
const TRACE = process.env['VRAM_RESIDENCY_TRACE'];
const BLOCKS = 2_600_000;

/** What axe-core finds wrong, in short. */
async function violations(page: Page): Promise<string[]> {
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

async function shot(page: Page, name: string): Promise<void> {
  if (SHOTS === undefined) return;
  await mkdir(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
}

// Reading the whole page for faults takes axe-core seconds on a busy machine.
describe('the dashboard in a real browser', { timeout: 120_000 }, () => {
  let browser: Browser;
  let folder: string;
  let worker: Rig;
  let listener: Listener;
  let context: BrowserContext;
  let page: Page;
  let complaints: string[];
  let asked: string[];
  const token = randomBytes(24).toString('hex');

  beforeAll(async () => {
    ({ browser } = await launchChromium());
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
  });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vram-dashboard-'));
    await writeFile(join(folder, 'admin'), `${token}\n`, { mode: 0o600 });
    worker = await rig({}, { drills: true });
    const tokens = await Tokens.open({ admin: join(folder, 'admin') }, () => systemClock.monotonic());
    const admission = new Admission({ tokens, hosts: null, clock: systemClock });
    const app = workerApp({
      worker: worker.worker,
      admission,
      clock: systemClock,
      drills: true,
      onUnforeseen: (error) => {
        throw error;
      },
    });
    listener = await listen({ host: '127.0.0.1', port: 0, tls: null }, app);
    context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
    page = await context.newPage();
    complaints = [];
    asked = [];
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => {
      // A refused request is told of by the browser itself.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
        complaints.push(message.text());
      }
    });
    page.on('request', (request) => asked.push(request.url()));
  });
  afterEach(async () => {
    await context.close();
    await listener.close();
    await worker[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
    expect(complaints).toEqual([]);
    expect(asked.filter((url) => !url.startsWith(`${listener.name}/`))).toEqual([]);
  });

  async function load(name: string, byteLength: number, seed: number): Promise<void> {
    const path = await worker.write(`${name}.bin`, byteLength, seed);
    await worker.worker.commit({ name, path });
    await worker.settled(name);
  }

  async function signIn(): Promise<void> {
    await page.goto(listener.name);
    await page.getByLabel('Token').fill(token);
    await page.keyboard.press('Enter');
    await page.getByText('Live').waitFor();
  }

  it('asks for a token, refuses a wrong one, and keeps a session that no script can read', async () => {
    await page.goto(listener.name);
    const field = page.getByLabel('Token');
    await field.waitFor();
    expect(await violations(page)).toEqual([]);
    await shot(page, 'login');

    await field.fill('w'.repeat(40));
    await page.keyboard.press('Enter');
    await page.getByText('This is not a token of this worker.').waitFor();

    await field.fill(token);
    await page.keyboard.press('Enter');
    await page.getByText('No model is loaded.').waitFor();
    await page.getByText('No block is resident.').waitFor();
    expect(await page.locator('#map').isVisible()).toBe(false);
    await shot(page, 'empty');
    expect(await violations(page)).toEqual([]);
    expect(await page.evaluate(() => document.cookie)).toBe('');
    expect(await context.cookies()).toMatchObject([
      { name: 'vram_session', httpOnly: true, sameSite: 'Strict', path: '/' },
    ]);

    await page.reload();
    await page.getByText('Live').waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await field.waitFor();
    await page.reload();
    await field.waitFor();
  });

  it('ends the session of a token that is withdrawn', async () => {
    await signIn();
    await writeFile(join(folder, 'admin'), `${'n'.repeat(40)}\n`, { mode: 0o600 });
    await page.getByLabel('Token').waitFor({ timeout: 20_000 });
  });

  it('shows damage and healing as they happen', async () => {
    await load('llama', 24 * MIB, 1);
    await load('whisper', 6 * MIB, 2);
    await signIn();
    await page.getByRole('heading', { name: 'llama@1' }).waitFor();
    await shot(page, 'light');
    expect(await violations(page)).toEqual([]);

    await page.getByRole('button', { name: 'Drill llama' }).click();
    await page.getByText('was flipped').waitFor();
    await page.getByRole('button', { name: 'Verify llama' }).focus();
    await page.keyboard.press('Enter');
    await page.getByText('Damaged: llama.').waitFor();
    await page.getByText('damage located').waitFor();
    await page.getByText(/: somewhere in blocks \d+ to \d+ \(from byte /).waitFor();
    await page.getByText('damage within 128 blocks').waitFor();
    // No configured model is damaged, so the worker is ready: the page must not leave it at that.
    await page.getByText('ready, with damage', { exact: true }).waitFor();
    expect(await page.title()).toBe('worker ready, with damage');
    await shot(page, 'damage');
    expect(await violations(page)).toEqual([]);

    await page.getByRole('button', { name: 'Heal llama' }).click();
    await page.getByText('1 block repaired').waitFor();
    await page.getByText('Damaged: llama.').waitFor({ state: 'hidden' });
    await page.getByText('none known to be damaged').waitFor();
    await shot(page, 'healed');
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await violations(page)).toEqual([]);
    await shot(page, 'dark');
  });

  it('is whole on a phone: nothing is wider than the screen', async () => {
    await page.setViewportSize({ width: 375, height: 812 });
    await page.goto(listener.name);
    await page.getByLabel('Token').waitFor();
    await load('a-model-with-quite-a-long-name.for-a-phone', 24 * MIB, 1);
    await signIn();
    await page.getByRole('heading', { name: 'a-model-with' }).waitFor();
    await page.getByRole('button', { name: /^Drill/ }).click();
    await page.getByRole('button', { name: /^Verify/ }).click();
    await page.getByText('damage within').waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(375);
    expect(await violations(page)).toEqual([]);
    await shot(page, 'phone');
  });

  it('says that the connection is lost, and goes on by itself', async () => {
    await load('llama', MIB, 1);
    await signIn();
    await context.setOffline(true);
    await page.route('**/v1/**', (route) => route.abort());
    await page.getByText('Connection lost.').waitFor({ timeout: 20_000 });
    await shot(page, 'lost');
    await page.unroute('**/v1/**');
    await context.setOffline(false);
    await page.getByText('Live').waitFor({ timeout: 20_000 });
  });

  it('draws 2.6 million blocks, and says how long scripting took', async () => {
    const status = withBlocks(await worker.worker.status());
    await page.route('**/v1/status', (route) => route.fulfill({ json: status }));
    await signIn();
    await page.getByText('2,600,000 blocks of 4 models, damage within 400 blocks').waitFor();
    await shot(page, 'large');
    if (TRACE !== undefined) await browser.startTracing(page, { path: TRACE });
    const times = await page.evaluate(async () => {
      performance.clearMeasures('block-map');
      for (let frame = 0; frame < 200; frame++) {
        globalThis.dispatchEvent(new Event('resize'));
        await new Promise(requestAnimationFrame);
      }
      return performance.getEntriesByName('block-map').map(({ duration }) => duration);
    });
    if (TRACE !== undefined) await browser.stopTracing();
    const sorted = times.toSorted((a, b) => a - b);
    const at = (share: number): string =>
      (sorted[Math.floor(sorted.length * share)] ?? Number.NaN).toFixed(2);
    console.log(
      `block map of ${BLOCKS} blocks: ${at(0.5)} ms a frame, p95 ${at(0.95)} ms, most ${at(0.999)} ms`,
    );
    // The page's own, once a second, may be among them.
    expect(times.length).toBeGreaterThanOrEqual(200);
  });
});

/** Four models of 50 shards, every tenth of them damaged in 20 places. */
function withBlocks(status: WorkerStatus): WorkerStatus {
  const now = Date.now();
  const perShard = BLOCKS / 200;
  const shard = (number: number): ModelView['shards'][number] => ({
    shardId: `s${number}`,
    sealId: `s${number}`,
    label: `model-${number}.safetensors`,
    byteLength: perShard * 4_096,
    sha256: null,
    fsverity: 'f'.repeat(64),
    sealedAt: new Date(now).toISOString(),
    quarantined: number % 10 === 0,
    damaged:
      number % 10 === 0
        ? Array.from({ length: 20 }, (_, range) => ({ firstBlock: range * 600, blocks: 1 }))
        : [],
    lastVerifiedAt: new Date(now - number * 60_000).toISOString(),
    lastScrubbedAt: null,
  });
  const models = [0, 1, 2, 3].map(
    (index): ModelView => ({
      name: `model-${index}`,
      generation: 1,
      state: 'damaged',
      byteLength: perShard * 4_096 * 50,
      layout: 'files',
      shared: false,
      part: null,
      shards: Array.from({ length: 50 }, (_, number) => shard(index * 50 + number)),
      progress: null,
      failure: null,
      next: null,
    }),
  );
  return { ...status, models };
}
