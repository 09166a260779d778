// The page of examples/browser in the browsers besides Chromium that Playwright has on this machine, if any.
import { existsSync } from 'node:fs';
import { firefox, webkit } from 'playwright';
import { describe, it } from 'vitest';
import { DemoSite } from './demo-visit.js';

describe.each([firefox, webkit])('the page in another browser', { timeout: 120_000 }, (type) => {
  const absent = !existsSync(type.executablePath());
  const name = type.name();

  it.skipIf(absent)(
    `seals, finds a flipped bit and heals it in ${name} (skipped where Playwright has no ${name})`,
    async () => {
      const site = await DemoSite.open(() => type.launch());
      try {
        const visit = await site.visit();
        await visit.open('?seed=5');
        await visit.sealDemo();
        await visit.press('Flip one bit');
        await visit.headline('One bit was flipped');
        await visit.press('Verify');
        await visit.headline('Caught: 1 block is not what was sealed');
        await visit.press('Heal');
        await visit.headline('Healed 1 block');
        await visit.end();
      } finally {
        await site.close();
      }
    },
  );
});
