// The page of examples/browser that was left and is shown again, as browsers do out of their back-forward cache.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchChromium } from '../support/chromium.mjs';
import { DemoSite, type Visit } from './demo-visit.js';

/** Shows the page as a browser does that had put it aside. */
const comesBack = (visit: Visit): Promise<boolean> =>
  visit.page.evaluate(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));

describe('the page of examples/browser that was left', { timeout: 120_000 }, () => {
  let site: DemoSite;

  beforeAll(async () => {
    site = await DemoSite.open(async () => (await launchChromium({ backForwardCache: true })).browser);
  }, 120_000);
  afterAll(async () => {
    await site?.close();
  });

  it('holds its seal and takes its verdict back, or begins anew', async ({ skip }) => {
    const visit = await site.visit();
    const reasons: string[] = [];
    const debug = await visit.context.newCDPSession(visit.page);
    debug.on('Page.backForwardCacheNotUsed', ({ notRestoredExplanations }) =>
      reasons.push(...notRestoredExplanations.map(({ reason }) => reason)),
    );
    await debug.send('Page.enable');
    await visit.open();
    await visit.sealDemo();
    await visit.press('Verify');
    await visit.headline('Every block is as it was sealed');
    await visit.page.evaluate(() => {
      addEventListener('pageshow', ({ persisted }) => Object.assign(globalThis, { persisted }));
    });
    await visit.page.goto(`${visit.page.url()}models/characters.txt`);
    await visit.page.goBack();
    await visit.page.waitForFunction(() => performance.getEntriesByName('interactive').length > 0);
    const kept = await visit.page.evaluate(() => 'persisted' in globalThis);
    if (kept) {
      await visit.headline('Still sealed, not checked');
      await visit.press('Verify');
      await visit.headline('Every block is as it was sealed');
    } else await visit.headline(/Seal a model/);
    await visit.end();
    // A headless Chromium keeps no page at all: BackForwardCacheDisabledForDelegate.
    if (!kept)
      skip(`this Chromium made a new page, which says that nothing is sealed: ${reasons.join(', ')}`);
  });

  it('says that its seal is held and not checked, and keeps what was found damaged (event simulated)', async () => {
    const visit = await site.visit();
    await visit.open('?seed=5');
    await comesBack(visit);
    await visit.headline(/Seal a model/);
    await visit.sealDemo();
    await visit.press('Verify');
    await visit.headline('Every block is as it was sealed');
    await comesBack(visit);
    await visit.headline('Still sealed, not checked');
    await visit.press('Flip one bit');
    await visit.headline('One bit was flipped');
    await visit.press('Verify');
    await visit.headline(/^Caught/);
    await comesBack(visit);
    await visit.page.locator('#verify[aria-disabled="false"]').waitFor();
    await visit.headline(/^Caught/);
    await visit.press('Heal');
    await visit.headline('Healed 1 block');
    await visit.end();
  });

  it('says that its seal is void where the worker is gone (event simulated)', async () => {
    const visit = await site.visit();
    await visit.changeWorker(`
      addEventListener('message', (event) => {
        if (event.data.method === 'answer') event.stopImmediatePropagation();
      });`);
    await visit.open();
    await visit.sealDemo();
    await comesBack(visit);
    await visit.headline('The seal is void');
    await visit.page.getByText('Reload the page to begin again.').waitFor();
    expect(await visit.page.locator('#verify').getAttribute('aria-disabled')).toBe('true');
    await visit.end();
  });
});
