// The scripts of docs/browser.md, built as its readers would build them, in a browser. They use the built package by its
// name: npm run build comes first.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright';
import * as vite from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchChromium } from '../support/chromium.mjs';
import { commandsOf, examplesOf } from '../support/doc-examples.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const weights = readFileSync(
  createRequire(import.meta.url).resolve('@ricky0123/vad-web/dist/silero_vad_v5.onnx'),
);
const DIGEST = 'fsverity-sha256-12:c6f20d8519a6ade9804e970bbd5f416222441bfc9c6a6fb0a02498df303ad362';
const SCRIPTS = ['page.js', 'model-worker.js', 'digest-worker.js'];
const POLICY = "default-src 'self' 'wasm-unsafe-eval'";
const HTML = '<!doctype html><title>page</title><body><script type="module" src="/page.js"></script>';

/** As the document says, in a folder with its scripts; gives where the pages are. */
const bundlers: Record<string, (folder: string) => Promise<string>> = {
  esbuild: async (folder) => {
    const said = commandsOf('docs/browser.md').find(({ command }) => command.startsWith('npx esbuild '));
    execFileSync('sh', ['-c', said?.command ?? 'false'], { cwd: folder, stdio: 'pipe' });
    writeFileSync(join(folder, 'built', 'index.html'), HTML);
    return join(folder, 'built');
  },
  vite: async (folder) => {
    writeFileSync(join(folder, 'vite.config.js'), example('export default'));
    await vite.build({ root: folder, logLevel: 'silent' });
    return join(folder, 'dist');
  },
};

/** The example of the document that begins so. */
function example(start: string): string {
  const found = examplesOf('docs/browser.md').find(({ code }) => code.startsWith(start));
  if (found === undefined) throw new Error(`docs/browser.md has no example that begins with ${start}`);
  return found.code;
}

describe.each(Object.keys(bundlers))('the scripts of docs/browser.md, built with %s', (name) => {
  let browser: Browser;
  let folder: string;
  let server: Server;
  let url: string;
  /** What stands before the scripts that are served from now on. */
  let before = '';

  beforeAll(async () => {
    mkdirSync(`${root}.cache`, { recursive: true });
    folder = mkdtempSync(`${root}.cache/bundlers-`);
    for (const script of SCRIPTS) writeFileSync(join(folder, script), example(`// ${script}\n`));
    writeFileSync(join(folder, 'index.html'), HTML);
    const built = await bundlers[name]?.(folder);
    server = createServer(({ url: path = '/', method }, response) => {
      response.setHeader('content-security-policy', POLICY);
      if (path === '/model.safetensors') {
        response.setHeader('content-length', weights.length).end(method === 'HEAD' ? undefined : weights);
        return;
      }
      try {
        const file = readFileSync(join(built ?? '', path === '/' ? 'index.html' : path));
        response
          .setHeader('content-type', path.endsWith('.js') ? 'text/javascript' : 'text/html')
          .end(path.includes('model-worker') ? before + file : file);
      } catch {
        response.writeHead(404).end();
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    ({ browser } = await launchChromium());
  }, 180_000);

  afterAll(async () => {
    await browser?.close();
    await new Promise((resolve) => server?.close(resolve));
    rmSync(folder, { recursive: true, force: true });
  });

  async function visit(context: Awaited<ReturnType<Browser['newContext']>>): Promise<string> {
    const page = await context.newPage();
    const failed = new Promise<string>((resolve) => page.on('pageerror', ({ message }) => resolve(message)));
    await page.goto(url);
    const said = page
      .waitForFunction(() => document.body?.textContent?.trim() || false, undefined, { timeout: 50_000 })
      .then((text) => text.jsonValue());
    const first = await Promise.race([failed, said]);
    await page.close();
    await said.catch(() => undefined);
    return String(first);
  }

  it('seal and verify, and find the weights in the cache on the next visit', {
    timeout: 60_000,
  }, async () => {
    const context = await browser.newContext();
    expect(await visit(context)).toMatch(
      new RegExp(`^webgpu, (host|unproven): ${DIGEST}, cache stored, verified: true$`),
    );
    expect(await visit(context)).toContain('cache hit, verified: true');
    await context.close();
  });

  it('work without WebGPU, on the host device, and say so', { timeout: 60_000 }, async () => {
    before = "Object.defineProperty(WorkerNavigator.prototype, 'gpu', { value: undefined });\n";
    const context = await browser.newContext();
    expect(await visit(context)).toBe(`host, host: ${DIGEST}, cache stored, verified: true`);
    await context.close();
  });
});
