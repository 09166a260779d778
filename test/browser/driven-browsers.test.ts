// The page of examples/browser in the system's Firefox, or the one that VRAM_RESIDENCY_FIREFOX names, and in WebKitGTK's
// MiniBrowser, where its driver and a display are there.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildWeb } from '../../scripts/build-web.mjs';
import { serveWeb } from '../../scripts/serve-web.mjs';
import { type DrivenBrowser, findFirefox, launchFirefox } from '../support/marionette.mjs';
import { findWebKit, launchWebKit } from '../support/webkit-driver.mjs';
import { demoModel, SHOTS } from './demo-visit.js';

const PATIENCE_MS = 30_000;

/** What the page says in its headline and below it. */
async function story(browser: DrivenBrowser): Promise<string> {
  return String(
    await browser.evaluate(`
      const shown = [...document.querySelectorAll('h1, #story-text, #start-error')].filter((one) => one.offsetParent);
      return shown.map((one) => one.textContent).join(' ');`),
  );
}

const says = (browser: DrivenBrowser, what: RegExp | string): Promise<void> =>
  expect.poll(() => story(browser), { timeout: PATIENCE_MS }).toMatch(what);

const BROWSERS = [
  { name: 'firefox', path: findFirefox(), launch: launchFirefox, absent: 'no Firefox is installed' },
  {
    name: 'webkit',
    path: findWebKit(),
    launch: launchWebKit,
    absent: 'there is no WebKitWebDriver, or no display',
  },
];

describe.each(BROWSERS)('the page in $name', { timeout: 240_000 }, ({ name, path, launch, absent }) => {
  it.skipIf(path === null)(
    `seals, finds a flipped bit, heals it and releases (skipped where ${absent})`,
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'vram-page-'));
      const model = join(folder, 'tiny.safetensors');
      await writeFile(model, demoModel());
      const site = await serveWeb((await buildWeb(join(folder, 'web'))).folder);
      const browser = await launch(path ?? '');
      try {
        await browser.open(`${site.url}?seed=5`);
        await says(browser, /^Seal a model/);
        await browser.evaluate(`
          window.failures = [];
          for (const type of ['error', 'unhandledrejection', 'securitypolicyviolation'])
            addEventListener(type, (event) => window.failures.push(type + ': ' + (event.message ?? event.reason)));`);
        await browser.evaluate(`document.querySelector('#file').hidden = false;`);
        await browser.choose('#file', model);
        await says(browser, /^Sealed 300 blocks of 4,096 bytes/);
        const facts = String(await browser.evaluate(`return document.querySelector('#facts').innerText;`));
        console.log(`page: ${name} ${browser.version}: ${facts.replaceAll('\n', ' ')}`);
        for (const [button, answer] of [
          ['#verify', /^Every block is as it was sealed/],
          ['#flip-one', /^One bit was flipped/],
          ['#verify', /^Caught: 1 block is not what was sealed/],
          ['#heal', /^Healed 1 block/],
          ['#compare', /^The same answer, in two ways/],
        ] as const) {
          await browser.click(button);
          await says(browser, answer);
        }
        await mkdir(SHOTS, { recursive: true });
        await writeFile(join(SHOTS, `page-${name}.png`), await browser.screenshot());
        await browser.click('#release');
        await says(browser, /^Released/);
        expect(await browser.evaluate('return window.failures;')).toEqual([]);
        const over = await browser.evaluate('return document.documentElement.scrollWidth - innerWidth;');
        expect(over).toBeLessThanOrEqual(0);
      } finally {
        await browser.close();
        await site.close();
        await rm(folder, { recursive: true, force: true });
      }
    },
  );
});
