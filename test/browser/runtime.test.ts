import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createPortableEngine } from '../../src/digest/index.js';
import { launchChromium } from '../support/chromium.mjs';
import { bundleScript, servePage } from '../support/page-server.mjs';
import { xorshiftBytes } from '../support/xorshift.js';
import type { Runtime } from './runtime-page.js';

declare global {
  var runtime: Runtime;
}

const WEIGHTS = xorshiftBytes(41, 3_000_000);
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** What the server does with the requests for bytes that follow; those that are not listed are answered whole. */
interface Answer {
  /** Bytes after which the connection breaks. */
  readonly breaksAfter?: number;
  readonly whole?: boolean;
  readonly corrupt?: boolean;
  /** As many bytes as this, which the answer gives as the length. */
  readonly sends?: number;
  /** Another tag than before, from here on; null for none. */
  readonly etag?: string | null;
  /** With status 416: there is nothing from there on. */
  readonly refused?: boolean;
  /** Where the range begins that is sent, whatever was asked for. */
  readonly from?: string;
  /** Held back until release() is called. */
  readonly held?: boolean;
}

describe('the runtime in a page', () => {
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let server: Awaited<ReturnType<typeof servePage>>;
  let expected: string;
  let answers: Answer[];
  let ranges: (string | null)[];
  let tag: string | null;
  let held: (() => void)[];
  const complaints: string[] = [];

  function weights(request: IncomingMessage, response: ServerResponse): void {
    const head = request.method === 'HEAD';
    tag = answers[0]?.etag === undefined ? tag : answers[0].etag;
    const {
      breaksAfter,
      whole,
      corrupt,
      held: waits,
      sends,
      from,
      refused,
    } = head ? {} : (answers.shift() ?? {});
    const asked = whole === true ? null : (/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? null);
    if (!head) ranges.push(asked);
    if (refused === true) {
      response.writeHead(416).end();
      return;
    }
    const range = from ?? asked;
    const bytes =
      corrupt === true ? WEIGHTS.map((byte, at) => (at % 2_000_000 === 77 ? byte ^ 1 : byte)) : WEIGHTS;
    const rest = bytes.subarray(Number(range ?? 0));
    const part = sends === undefined ? rest : new Uint8Array(sends).map((_, at) => rest[at] ?? 0);
    response.writeHead(range === null ? 200 : 206, {
      'content-length': part.length,
      ...(tag === null ? {} : { etag: tag }),
      ...(range === null
        ? {}
        : { 'content-range': `bytes ${range}-${WEIGHTS.length - 1}/${WEIGHTS.length}` }),
    });
    if (head) response.end();
    else if (waits === true) held.push(() => response.end(part));
    // The page reads what it is sent: the rest of a second is more than enough for a loopback.
    else if (breaksAfter !== undefined)
      response.write(part.subarray(0, breaksAfter), () => setTimeout(() => response.destroy(), 300));
    else response.end(part);
  }

  async function openPage(): Promise<Page> {
    const opened = await context.newPage();
    opened.on('pageerror', (error) => complaints.push(error.stack ?? error.message));
    await opened.goto(server.url);
    await opened.waitForFunction(() => 'runtime' in globalThis);
    return opened;
  }

  beforeAll(async () => {
    const stream = createPortableEngine().start({ byteLength: WEIGHTS.length, sha256: false, keep: 'root' });
    await stream.update(WEIGHTS);
    ({ fsverity: expected } = await stream.finish());
    server = await servePage(here('runtime-page.ts'), {
      '/weights.bin': weights,
      '/digest-worker.js': await bundleScript(here('runtime-digest-worker.ts')),
      '/worker.js': await bundleScript(here('runtime-worker.ts')),
    });
    const started = await launchChromium();
    browser = started.browser;
    console.log(`runtime tests: Chromium ${started.version} (${started.from}), WebGPU on ${started.adapter}`);
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  // A context has an origin's storage of its own: nothing is cached from one test to the next.
  beforeEach(async () => {
    answers = [];
    ranges = [];
    tag = '"v1"';
    held = [];
    await context?.close();
    context = await browser.newContext();
    page = await openPage();
  });

  const seal = (on: Page, cached = false, more: { path?: string; device?: string; workers?: number } = {}) =>
    on.evaluate((request) => globalThis.runtime.seal(request), {
      path: '/weights.bin',
      expected,
      cached,
      ...more,
    });

  it('resumes a download that breaks off, by range', async () => {
    answers = [{ breaksAfter: 1_000_000 }];
    expect(await seal(page)).toMatchObject({ outcome: 'sealed', verified: true, cache: 'none' });
    expect(ranges).toHaveLength(2);
    expect(Number(ranges[1])).toBeGreaterThan(0);
  });

  it('starts over where the server has no ranges', async () => {
    answers = [{ breaksAfter: 1_000_000 }, { whole: true }];
    expect(await seal(page)).toMatchObject({ outcome: 'sealed', verified: true });
    expect(ranges).toEqual([null, null]);
  });

  it.each<[string, Answer[]]>([
    ['is corrupted', [{ corrupt: true }]],
    ['is shorter than the server said', [{ sends: 2_000_000 }, { refused: true }]],
    ['is longer than the server said', [{ sends: 3_000_001 }]],
    ['has another tag when it is resumed', [{ breaksAfter: 1_000_000 }, { etag: '"v2"' }]],
    [
      'has other bytes when it is resumed, and no tag',
      [{ breaksAfter: 1_000_000, etag: null }, { corrupt: true }],
    ],
    ['is resumed with another range', [{ breaksAfter: 1_000_000 }, { from: '5' }]],
  ])('refuses a download that %s, and caches nothing of it', async (_what, served) => {
    answers = [...served];
    expect(await seal(page, true)).toMatchObject({ outcome: 'SOURCE_MISMATCH' });
    expect(ranges).toHaveLength(served.length);
    expect(await page.evaluate(() => globalThis.runtime.cached())).toEqual([]);
  });

  it('seals from the cache on the next visit, and downloads again if the cache was changed', async () => {
    expect(await seal(page, true)).toMatchObject({ outcome: 'sealed', cache: 'stored' });
    expect(await page.evaluate(() => globalThis.runtime.cached())).toEqual([WEIGHTS.length]);
    await page.reload();
    expect(await seal(page, true)).toMatchObject({ outcome: 'sealed', cache: 'hit', evicted: false });
    expect(ranges).toHaveLength(1);
    expect(await page.evaluate(() => globalThis.runtime.tamper())).toBe(1);
    expect(await seal(page, true)).toMatchObject({
      outcome: 'sealed',
      verified: true,
      cache: 'stored',
      evicted: true,
    });
    expect(ranges).toHaveLength(2);
    expect(await seal(page, true)).toMatchObject({ cache: 'hit' });
  });

  it('seals all the same where the origin has no room, and says so', async () => {
    const session = await context.newCDPSession(page);
    const origin = new URL(server.url).origin;
    await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 1_500_000 });
    expect(await seal(page, true)).toMatchObject({ outcome: 'sealed', verified: true, cache: 'full' });
    expect(await page.evaluate(() => globalThis.runtime.cached())).toEqual([]);
  });

  it('does not wait for another tab that is storing the same weights', async () => {
    const other = await openPage();
    answers = [{ held: true }];
    const first = seal(page, true);
    await expect.poll(() => held.length).toBe(1);
    expect(await seal(other, true)).toMatchObject({ outcome: 'sealed', verified: true, cache: 'busy' });
    for (const release of held) release();
    expect(await first).toMatchObject({ outcome: 'sealed', cache: 'stored' });
    expect(await seal(other, true)).toMatchObject({ cache: 'hit' });
  });

  it('hashes in module workers, in a page without WebGPU too', async () => {
    const report = await seal(page, false, { workers: 2 });
    expect(report).toMatchObject({ outcome: 'sealed', verified: true });
    console.log(
      `host device, digests in two workers: longest block of the page ${report.longestBlockMs.toFixed(0)} ms`,
    );
  });

  it('refuses what a killed digest worker had in hand, and goes on with another', async () => {
    expect(await page.evaluate(() => globalThis.runtime.killedWorker())).toBe(
      'DEVICE_UNAVAILABLE, then verified: true',
    );
  });

  it('writes an audit log in a worker that audit verify accepts, and seals are void once the device is lost', {
    timeout: 60_000,
  }, async () => {
    const report = await page.evaluate(() => globalThis.runtime.auditedInWorker());
    expect(report).toMatchObject({ verified: true, afterLoss: 'DEVICE_LOST', listed: true });
    const folder = mkdtempSync(join(tmpdir(), 'page-audit-'));
    try {
      const directory = join(folder, 'log');
      mkdirSync(directory);
      for (const { name, text } of report.files) writeFileSync(join(directory, name), text);
      const token = join(folder, 'token');
      writeFileSync(token, Buffer.alloc(32, 9), { mode: 0o600 });
      const command = ['dist/bundle/lib/main.js', 'audit', 'verify', directory, '--token-file', token];
      const said = execFileSync(process.execPath, command, { cwd: here('../..'), encoding: 'utf8' });
      expect(said).toContain('every MAC verified');
      const log = report.files.map(({ text }) => text).join('');
      for (const type of ['vram.sealed', 'seal.verified', 'device.lost']) expect(log).toContain(type);
      expect(log).toContain(report.fsverity);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('refuses to write a log on the page’s own thread', async () => {
    expect(await page.evaluate(() => globalThis.runtime.auditOnThePage())).toBe('DEVICE_UNAVAILABLE');
  });

  it('leaves no uncaught error in the page', () => {
    expect(complaints).toEqual([]);
  });
});
