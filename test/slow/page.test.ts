import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchChromium } from '../support/chromium.mjs';
import { servePage } from '../support/page-server.mjs';

const MIB = 2 ** 20;

describe('a page that lives long', () => {
  let browser: Browser;
  let server: Awaited<ReturnType<typeof servePage>>;

  beforeAll(async () => {
    server = await servePage(fileURLToPath(new URL('../browser/runtime-page.ts', import.meta.url)), {
      '/kept': (_request, response) => {
        // "no-store" would keep it out of the back-forward cache.
        response.setHeader('cache-control', 'no-cache').setHeader('content-type', 'text/html');
        response.end('<!doctype html><title>kept</title><script type="module" src="/page.js"></script>');
      },
      '/other': (_request, response) => {
        response.setHeader('content-type', 'text/html').end('<!doctype html><title>other</title>');
      },
    });
    ({ browser } = await launchChromium({ backForwardCache: true }));
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  async function open(path = ''): Promise<Page> {
    const page = await browser.newPage();
    await page.goto(server.url + path);
    await page.waitForFunction(() => 'runtime' in globalThis);
    return page;
  }

  /** Bytes of the page's heap after a collection, and resident bytes of all renderers. */
  async function memory(page: Page): Promise<{ heap: number; resident: number }> {
    const session = await page.context().newCDPSession(page);
    await session.send('HeapProfiler.collectGarbage');
    const { usedSize } = await session.send('Runtime.getHeapUsage');
    const { processInfo } = await (await browser.newBrowserCDPSession()).send('SystemInfo.getProcessInfo');
    let resident = 0;
    for (const { type, id } of processInfo) {
      if (type !== 'renderer') continue;
      const status = readFileSync(`/proc/${id}/status`, 'utf8');
      resident += Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
    }
    return { heap: usedSize, resident };
  }

  it('seals, verifies and releases 200 times in memory that stays flat', async () => {
    const page = await open();
    expect(await page.evaluate(() => globalThis.runtime.rounds(40))).toBe(40);
    const before = await memory(page);
    expect(await page.evaluate(() => globalThis.runtime.rounds(160))).toBe(160);
    const after = await memory(page);
    const grown = {
      heap: (after.heap - before.heap) / MIB,
      resident: (after.resident - before.resident) / MIB,
    };
    console.log(
      `160 more rounds of 600 kB: heap +${grown.heap.toFixed(2)} MiB, renderer +${grown.resident.toFixed(1)} MiB`,
    );
    // One shard that stays each round would be 90 MiB.
    expect(grown.heap).toBeLessThan(2);
    expect(grown.resident).toBeLessThan(32);
    await page.close();
  });

  it.for(['host', 'webgpu:0'])(
    'that was left and is shown again has its seals on %s, or says that they are void',
    async (device, { skip }) => {
      const page = await open('kept');
      expect(await page.evaluate((asked) => globalThis.runtime.keep(asked), device)).toBe('verified');
      await page.evaluate(() => {
        addEventListener('pageshow', ({ persisted }) => Object.assign(globalThis, { persisted }));
      });
      await page.goto(`${server.url}other`);
      // A page that was kept is not loaded again.
      await page.goBack({ waitUntil: 'commit' });
      await page.waitForFunction(() => 'runtime' in globalThis);
      const persisted = await page.evaluate(() => 'persisted' in globalThis);
      const said = await page.evaluate((asked) => globalThis.runtime.keep(asked), device);
      // What kept it out of the cache, Chromium tells the page itself.
      const why = await page.evaluate(() => JSON.stringify(performance.getEntriesByType('navigation')[0]));
      await page.close();
      expect(persisted ? ['verified', 'DEVICE_LOST'] : ['verified']).toContain(said);
      const reasons = JSON.stringify(JSON.parse(why).notRestoredReasons?.reasons ?? null);
      if (!persisted) skip(`this Chromium showed a new page, which sealed again: ${reasons}`);
      console.log(`${device}: shown again out of the back-forward cache: ${said}`);
    },
  );
});
