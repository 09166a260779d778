// The page of examples/browser, by clicks, as a visitor would use it.
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { program } from '../support/cli.js';
import { BLOCKS, DemoSite, demoModel, type Visit } from './demo-visit.js';
import { expectPicture } from './map-pictures.js';

declare global {
  // What noteProgress() leaves on the page's global object.
  var progress: string[];
}

describe('the page of examples/browser', { timeout: 120_000 }, () => {
  let site: DemoSite;
  let visit: Visit;

  beforeAll(async () => {
    site = await DemoSite.open();
  }, 120_000);
  afterAll(async () => {
    await site?.close();
  });
  beforeEach(async () => {
    visit = await site.visit();
  });
  afterEach(async () => {
    await visit.end();
  });

  it('starts without a fault that axe-core finds', async () => {
    await visit.open();
    await visit.expectNoFault('start');
  });

  it('loads what its build counted before a model is chosen, and nothing else', async () => {
    await visit.open();
    const size = async (name: string) => gzipSync(await readFile(join(site.built.folder, name))).length;
    const loaded = async () => {
      const sizes = visit
        .files()
        .filter((name) => name !== 'icon.svg')
        .map(size);
      return (await Promise.all(sizes)).reduce((sum, one) => sum + one, 0);
    };
    await expect.poll(loaded, { timeout: 20_000 }).toBe(site.built.sizes.start);
    // Nor a little later.
    await visit.page.waitForTimeout(500);
    expect(await loaded()).toBe(site.built.sizes.start);
    expect(site.built.sizes.start).toBeLessThanOrEqual(80_000);
  });

  it('seals a file, finds what was flipped, heals it, and leaves a log that the command line accepts', async () => {
    await visit.open('?seed=5');
    await visit.sealDemo();
    await visit.page.getByText(`${BLOCKS} blocks of 4,096 bytes lie in main memory`).waitFor();
    await expectPicture(visit.page, 'sealed');
    await visit.page.evaluate(noteProgress);
    await visit.press('Verify');
    await visit.headline('Every block is as it was sealed');
    await visit.page.getByText(/hashed where they lie in .* came back from the device/).waitFor();
    // By the megabyte, as the device came to it, and painted before the verdict.
    expect(await visit.page.evaluate(() => globalThis.progress)).toEqual(['1.0 MB', '1.2 MB']);
    await visit.shot('verified');
    await expectPicture(visit.page, 'verified');

    await visit.press('Flip one bit');
    await visit.headline('One bit was flipped');
    await expectPicture(visit.page, 'flipped');
    await visit.page.getByText(/Bit \d of byte [\d,]+, in block \d+ of \S+\. Nothing has noticed/).waitFor();
    await visit.press('Verify');
    await visit.headline('Caught: 1 block is not what was sealed');
    await visit.page.getByText(/^Block \d+ of \S+\. Nothing may use the model/).waitFor();
    await visit.expectNoFault('damage');
    await expectPicture(visit.page, 'damage');

    await visit.page.getByRole('button', { name: 'Heal' }).focus();
    await visit.page.keyboard.press('Enter');
    await visit.headline('Healed 1 block');
    await visit.expectNoFault('healed');
    await expectPicture(visit.page, 'healed');
    await visit.press('Flip 64 bits');
    await visit.headline('64 bits were flipped');
    await visit.press('Heal');
    await visit.headline(/Healed \d\d blocks/);
    await visit.press('Compare with reading back');
    await visit.headline('The same answer, in two ways');
    await visit.page.getByText('WebCrypto SHA-256').waitFor();
    for (const list of ['#sentences', '#records']) expect(await cutAtTop(visit, list), list).toBe(0);

    await visit.press('Release');
    await visit.headline('Released');
    await expectPicture(visit.page, 'released');
    const interactive = await visit.page.evaluate(
      () => performance.getEntriesByName('interactive')[0]?.startTime ?? Number.NaN,
    );
    console.log(
      `page: bytes after gzip ${JSON.stringify(site.built.sizes)}; its buttons worked ${interactive.toFixed(0)} ms ` +
        'after its address was asked for',
    );
    expect(interactive).toBeGreaterThan(0);
    expect(await visit.violations()).toEqual([]);

    const [download] = await Promise.all([
      visit.page.waitForEvent('download'),
      visit.press('Download the log'),
    ]);
    const log = join(site.folder, 'unpacked');
    await mkdir(log);
    await promisify(execFile)('tar', ['-xf', await download.path(), '-C', log]);
    const key = await readFile(join(log, 'vram-residency-audit/verifier-key'), 'utf8');
    const check = ['audit', 'verify', join(log, 'vram-residency-audit/log'), '--verifier-key', key.trim()];
    const good = await program([...check, '--json']);
    expect(good).toMatchObject({ code: 0 });
    // A checkpoint is signed for the download: no record lies beyond it.
    expect(JSON.parse(good.stdout)).toMatchObject({ signature: 'verified', recordsPastCheckpoint: 0 });
    const segment = await segmentOf(join(log, 'vram-residency-audit/log'));
    const text = await readFile(segment, 'utf8');
    await writeFile(segment, text.replace('vram.sealed', 'vram.seaIed'));
    expect(await program(check)).toMatchObject({ code: 6 });
  });

  it('takes a file after one that it refused, and names tensors under the pointer and the arrow keys', async () => {
    await visit.open();
    await visit.choose('empty.gguf', Buffer.alloc(0));
    await visit.page.getByText('The file is empty').waitFor();
    await visit.sealDemo();
    const picture = visit.page.getByRole('slider', { name: 'Tensor' });
    await picture.hover({ position: { x: 12, y: 12 } });
    await visit.page.getByText('embed.weight  U8').waitFor();
    await picture.focus();
    await visit.page.keyboard.press('End');
    await visit.page.getByText('head.weight  U8').waitFor();
    await visit.page.keyboard.press('ArrowLeft');
    expect(await picture.getAttribute('aria-valuetext')).toMatch(/^layer\.0\.weight/);

    // Dark, on a phone, and from right to left.
    await visit.press('Flip one bit');
    await visit.headline('One bit was flipped');
    await visit.page.emulateMedia({ colorScheme: 'dark' });
    await visit.expectNoFault('dark');
    await visit.page.emulateMedia({ colorScheme: 'light' });
    await visit.page.setViewportSize({ width: 375, height: 800 });
    await visit.expectNoFault('phone');
    await visit.page.setViewportSize({ width: 1_280, height: 800 });
    await visit.page.evaluate(() => {
      document.documentElement.dir = 'rtl';
    });
    await visit.expectNoFault('rtl');
  });

  it('refuses a broken model with its reason, and seals it as plain bytes when asked to', async () => {
    await visit.open();
    await visit.drop('cut.safetensors', demoModel().subarray(0, 700_000));
    await visit.page
      .getByText(
        'This cannot be read as safetensors, so nothing was sealed: "cut.safetensors" has the tensor',
      )
      .waitFor();
    await visit.expectNoFault('broken');
    const plain = visit.page.getByRole('button', { name: 'Seal it as plain bytes' });
    expect(await plain.evaluate((button) => button === document.activeElement)).toBe(true);
    // Another failure takes the offer back.
    await visit.choose('empty.gguf', Buffer.alloc(0));
    await visit.page.getByText('The file is empty').waitFor();
    expect(await plain.isHidden()).toBe(true);
    await visit.drop('cut.safetensors', demoModel().subarray(0, 700_000));
    await plain.waitFor();
    await visit.page.keyboard.press('Enter');
    await visit.headline('Sealed');
    await visit.page.getByText('Sealed as plain bytes, as you asked: its blocks have no names.').waitFor();
    await visit.press('Verify');
    await visit.headline('Every block is as it was sealed');
    await visit.press('Another model');
    expect(await plain.isHidden()).toBe(true);
  });

  it('lets one model go for another, and says when the device is lost', async () => {
    await visit.changeWorker(`
      const ask = GPUAdapter.prototype.requestDevice;
      GPUAdapter.prototype.requestDevice = async function (descriptor) {
        const device = await ask.call(this, descriptor);
        new BroadcastChannel('lose').onmessage = () => device.destroy();
        return device;
      };`);
    await visit.open();
    await visit.sealDemo();
    await visit.press('Another model');
    await visit.choose('plain.bin', Buffer.alloc(9_000, 7));
    await visit.page.getByText('not a safetensors, GGUF or ONNX file').waitFor();
    await visit.headline('Sealed');
    await visit.page.evaluate(() => new BroadcastChannel('lose').postMessage(null));
    await visit.headline('The seal is void');
    await visit.press('Another model');
    await visit.sealDemo();
    await visit.press('Verify');
    await visit.headline('Every block is as it was sealed');
  });

  it('works on the host device where there is no WebGPU, and says so', async () => {
    await visit.changeWorker(`Object.defineProperty(navigator, 'gpu', { value: undefined });`);
    await visit.open();
    await visit.sealDemo();
    await visit.page.getByText('this browser has no WebGPU').waitFor();
    await visit.press('Compare with reading back');
    await visit.headline('The same answer, in two ways');
    // Nothing is counted there, so no count is shown.
    expect(await visit.page.getByText(/came back|brought back/).count()).toBe(0);
    await visit.press('Flip one bit');
    await visit.headline('One bit was flipped');
    await visit.press('Verify');
    await visit.headline('Caught: 1 block is not what was sealed');
    expect(visit.files().filter((name) => name.startsWith('host-'))).toHaveLength(1);
  });

  it('says that the code of the host device could not be loaded', async () => {
    await visit.changeWorker(`Object.defineProperty(navigator, 'gpu', { value: undefined });`);
    // As an import that failed, but the browser does not report it as an error of the page.
    const broken = { contentType: 'text/javascript', body: 'throw new Error("not all of it arrived");' };
    await visit.page.route('**/host-*.js', (route) => route.fulfill(broken));
    await visit.open();
    await visit.choose('tiny.safetensors', demoModel());
    await visit.page
      .getByText(/the code of the host device could not be loaded: reload the page/i)
      .first()
      .waitFor();
  });
});

/** In the page: keeps every amount that the picture says has been hashed. */
function noteProgress(): void {
  const live = document.querySelector('#map-live');
  if (live === null) throw new Error('the page tells no progress');
  globalThis.progress = [];
  new MutationObserver(() => {
    const [done] = (live.textContent ?? '').split(' of ');
    if (done !== undefined && done !== '') globalThis.progress.push(done);
  }).observe(live, { childList: true, characterData: true, subtree: true });
}

/** The log's only file of records. */
async function segmentOf(folder: string): Promise<string> {
  const name = (await readdir(folder)).find((one) => one.endsWith('.ndjson'));
  if (name === undefined) throw new Error('the log has no segment');
  return join(folder, name);
}

/** By how many pixels the topmost row in sight is cut, in a list that has scrolled to its end. */
async function cutAtTop(visit: Visit, list: string): Promise<number> {
  return await visit.page.locator(list).evaluate((element) => {
    if (element.scrollTop === 0) throw new Error('everything is in sight');
    const top = element.getBoundingClientRect().top + element.clientTop;
    const rows = [...element.children].map((row) => row.getBoundingClientRect());
    const topmost = rows.find(({ bottom }) => bottom > top + 1);
    return topmost === undefined ? Number.NaN : Math.round(Math.max(top - topmost.top, 0));
  });
}
