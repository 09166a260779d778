import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VramManager } from '../../src/index.js';
import { bytesSource } from '../../src/source/bytes.js';
import { contractCases } from '../contract/cases.js';
import { launchChromium } from '../support/chromium.mjs';
import { servePage } from '../support/page-server.mjs';
import type { AuditPageReport, PageReport, SealReport } from './report.js';

declare global {
  // What page.ts leaves on its global object.
  var pageTests: {
    contract(): Promise<PageReport[]>;
    sealAndVerify(url: string): Promise<SealReport>;
    openVramOnly(): Promise<string>;
    auditOnOwnDevice(): Promise<AuditPageReport>;
  };
}

const WEIGHTS = createRequire(import.meta.url).resolve('@ricky0123/vad-web/dist/silero_vad_v5.onnx');

describe('in a page of a real browser', () => {
  let browser: Browser;
  let page: Page;
  let weights: Uint8Array;
  let server: Awaited<ReturnType<typeof servePage>>;
  const complaints: string[] = [];

  beforeAll(async () => {
    weights = await readFile(WEIGHTS);
    server = await servePage(fileURLToPath(new URL('page.ts', import.meta.url)), { '/weights': weights });
    const started = await launchChromium();
    browser = started.browser;
    console.log(`page tests: Chromium ${started.version} (${started.from}), WebGPU on ${started.adapter}`);
    page = await browser.newPage();
    page.on('pageerror', (error) => complaints.push(error.stack ?? error.message));
    await page.goto(server.url);
    await page.waitForFunction(() => 'pageTests' in globalThis);
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  describe('contract: webgpu in a page', () => {
    const reports = new Map<string, PageReport>();
    beforeAll(async () => {
      for (const report of await page.evaluate(() => globalThis.pageTests.contract()))
        reports.set(report.name, report);
    }, 180_000);

    it.for(contractCases.map(({ name }) => name))('%s', (name, { skip }) => {
      const { status, detail } = reports.get(name) ?? { status: 'failed', detail: 'was not run in the page' };
      if (status === 'skipped') skip(detail ?? 'the page gave no reason');
      expect({ status, detail }).toEqual({ status: 'passed', detail: null });
    });

    it('skips few cases', () => {
      const count = (status: PageReport['status']): number =>
        [...reports.values()].filter((report) => report.status === status).length;
      expect(count('passed')).toBeGreaterThan(30);
      expect(count('passed')).toBeGreaterThan(count('skipped') * 4);
    });

    it('runs out of memory and loses its device there too', () => {
      const faults = [...reports.values()].filter(({ name }) =>
        /out of memory is refused|a lost device refuses/.test(name),
      );
      expect(faults).toHaveLength(2);
      expect(faults.map(({ status }) => status)).not.toContain('skipped');
    });
  });

  it('[CI-008] seals and verifies real weights with the digests that Node computes', {
    timeout: 120_000,
  }, async () => {
    const inPage = await page.evaluate(() => globalThis.pageTests.sealAndVerify('/weights'));
    const manager = await VramManager.open({ device: 'host', policy: 'any', workerId: 'node' });
    const inNode = await manager.seal(bytesSource(weights));
    await manager.close();
    expect({ sha256: inPage.sha256, fsverity: inPage.fsverity }).toEqual({
      sha256: inNode.sha256,
      fsverity: inNode.fsverity,
    });
    expect(inPage).toMatchObject({ verified: true, immutability: 'usage-locked', newGlobals: [] });
    // The browser runs WebGPU on the CPU here; a page on a real GPU would say "unproven".
    expect(['host', 'unproven']).toContain(inPage.residency);
  });

  it('[VP-002] refuses vram-only, because no page can know where its memory lives', async () => {
    expect(await page.evaluate(() => globalThis.pageTests.openVramOnly())).toBe('POLICY_VIOLATION');
  });

  it('keeps an audit log in memory, and seals on a GPUDevice of its own that it has afterwards', {
    timeout: 60_000,
  }, async () => {
    const report = await page.evaluate(() => globalThis.pageTests.auditOnOwnDevice());
    expect(report).toMatchObject({ verified: true, ownDeviceWorks: true });
    expect(report.types[0]).toBe('audit.opened');
    expect(report.types).toEqual(expect.arrayContaining(['vram.allocated', 'vram.sealed', 'seal.verified']));
    expect(report.types.at(-1)).toBe('audit.closed');
  });

  it('leaves no uncaught error in the page', () => {
    expect(complaints).toEqual([]);
  });
});
