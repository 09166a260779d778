// The page of examples/browser in the system's Firefox, or the one that VRAM_RESIDENCY_FIREFOX names.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildWeb } from '../../scripts/build-web.mjs';
import { serveWeb } from '../../scripts/serve-web.mjs';
import { type Firefox, findFirefox, launchFirefox } from '../support/marionette.mjs';
import { demoModel, SHOTS } from './demo-visit.js';

const PATIENCE_MS = 30_000;

/** What the page says in its headline and below it. */
async function story(firefox: Firefox): Promise<string> {
  return String(
    await firefox.evaluate(`
      const shown = [...document.querySelectorAll('h1, #story-text, #start-error')].filter((one) => one.offsetParent);
      return shown.map((one) => one.textContent).join(' ');`),
  );
}

const says = (firefox: Firefox, what: RegExp | string): Promise<void> =>
  expect.poll(() => story(firefox), { timeout: PATIENCE_MS }).toMatch(what);

describe('the page in Firefox', { timeout: 240_000 }, () => {
  const path = findFirefox();

  it.skipIf(path === null)(
    'seals, finds a flipped bit, heals it and releases (skipped where no Firefox is installed)',
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'vram-page-'));
      const model = join(folder, 'tiny.safetensors');
      await writeFile(model, demoModel());
      const site = await serveWeb((await buildWeb(join(folder, 'web'))).folder);
      const firefox = await launchFirefox(path ?? '');
      try {
        await firefox.open(`${site.url}?seed=5`);
        await says(firefox, /^Seal a model/);
        await firefox.evaluate(`
          window.failures = [];
          for (const type of ['error', 'unhandledrejection', 'securitypolicyviolation'])
            addEventListener(type, (event) => window.failures.push(type + ': ' + (event.message ?? event.reason)));`);
        await firefox.evaluate(`document.querySelector('#file').hidden = false;`);
        await firefox.choose('#file', model);
        await says(firefox, /^Sealed 300 blocks of 4,096 bytes/);
        const facts = String(await firefox.evaluate(`return document.querySelector('#facts').innerText;`));
        console.log(`page: Firefox ${firefox.version}: ${facts.replaceAll('\n', ' ')}`);
        for (const [button, answer] of [
          ['#verify', /^Every block is as it was sealed/],
          ['#flip-one', /^One bit was flipped/],
          ['#verify', /^Caught: 1 block is not what was sealed/],
          ['#heal', /^Healed 1 block/],
          ['#compare', /^The same answer, in two ways/],
        ] as const) {
          await firefox.click(button);
          await says(firefox, answer);
        }
        await mkdir(SHOTS, { recursive: true });
        await writeFile(join(SHOTS, 'page-firefox.png'), await firefox.screenshot());
        await firefox.click('#release');
        await says(firefox, /^Released/);
        expect(await firefox.evaluate('return window.failures;')).toEqual([]);
        const over = await firefox.evaluate('return document.documentElement.scrollWidth - innerWidth;');
        expect(over).toBeLessThanOrEqual(0);
      } finally {
        await firefox.close();
        await site.close();
        await rm(folder, { recursive: true, force: true });
      }
    },
  );
});
