// The story of the page with its text reader, by clicks: it reads, reads wrongly, is refused, and reads right again.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DemoSite, type Visit } from '../browser/demo-visit.js';

const WORDS = 'HELLO GPU';
/** On a software adapter the engine takes minutes to compile its kernels while the machine is busy. */
const PATIENCE_MS = 600_000;

describe('the page reads a line with sealed weights', { timeout: 6 * PATIENCE_MS }, () => {
  let site: DemoSite;
  let visit: Visit;

  beforeAll(async () => {
    site = await DemoSite.open();
    visit = await site.visit();
    visit.page.setDefaultTimeout(PATIENCE_MS);
  }, 240_000);
  afterAll(async () => {
    await site?.close();
  });

  /** Presses a button and gives the newest reading: its text, and how it came about. */
  async function read(button: string): Promise<{ text: string; how: string }> {
    const readings = visit.page.locator('#readings li');
    const before = await readings.count();
    await visit.press(button);
    await readings.nth(before).waitFor();
    const newest = readings.first();
    return {
      text: (await newest.locator('.text').textContent()) ?? '',
      how: (await newest.locator('.how').textContent()) ?? '',
    };
  }

  /** Writes HI on the sheet with the mouse. */
  async function writeByHand(): Promise<void> {
    await visit.press('Clear');
    const pad = await visit.page.locator('#pad').boundingBox();
    if (pad === null) throw new Error('there is no sheet');
    const { x: left, y: top, width, height } = pad;
    const strokes = [
      [0.4, 0.2, 0.4, 0.8],
      [0.4, 0.5, 0.46, 0.5],
      [0.46, 0.2, 0.46, 0.8],
      [0.52, 0.2, 0.52, 0.8],
    ] as const;
    for (const [x, y, toX, toY] of strokes) {
      await visit.page.mouse.move(left + x * width, top + y * height);
      await visit.page.mouse.down();
      await visit.page.mouse.move(left + toX * width, top + toY * height, { steps: 4 });
      await visit.page.mouse.up();
    }
  }

  it('right, wrong after damage, refused, and right once healed; a picture and handwriting too', async () => {
    await visit.open('?seed=9');
    await visit.press('Use the bundled text reader');
    await visit.headline('Sealed');
    await visit.press('Verify');
    await visit.headline('Every block is as it was sealed');
    await visit.press('Compare with reading back');
    await visit.headline('The same answer, in two ways');
    await visit.shot('reading-compared');

    const first = await read('Verify, then read');
    expect(first).toMatchObject({
      text: WORDS,
      how: expect.stringMatching(/^122 sealed tensors, verified in /),
    });
    await visit.shot('reading-read');
    await visit.press('Flip 64 bits');
    await visit.headline('64 bits were flipped');
    const damaged = await read('Read unchecked');
    expect(damaged.text).not.toBe(WORDS);
    expect(damaged.how).toContain('Weights not checked for this.');
    await visit.shot('reading-misread');

    expect(await read('Verify, then read')).toMatchObject({ text: 'Refused' });
    await visit.headline(/^Caught: \d\d blocks are not what was sealed$/);
    await visit.expectNoFault('reading-refused');
    expect(await read('Read unchecked')).toMatchObject({ text: 'Refused' });

    await visit.press('Heal');
    await visit.headline(/^Healed \d\d blocks$/);
    const again = await read('Verify, then read');
    expect(again.text).toBe(WORDS);
    await visit.expectNoFault('reading-healed');

    // The sheet itself, as a picture that a visitor chooses.
    const buffer = await visit.page.locator('#pad').screenshot();
    await visit.press('Clear');
    const picture = { name: 'line.png', mimeType: 'image/png', buffer };
    await visit.page.getByLabel('Picture of a line').setInputFiles(picture);
    await expect.poll(() => visit.page.locator('#words').inputValue()).toBe('');
    const shown = await read('Verify, then read');
    expect(shown.text).toBe(WORDS);
    await writeByHand();
    const written = await read('Verify, then read');
    expect(written.text).toMatch(/\S/);
    await visit.shot('reading-handwriting');

    console.log(
      `page: read "${first.text}" (${first.how}), damaged "${damaged.text}", healed "${again.text}", ` +
        `a picture "${shown.text}", by hand "${written.text}"`,
    );
    for (const row of await visit.page.locator('#times li').allTextContents()) console.log(`page: ${row}`);
    await visit.end();
  });
});
