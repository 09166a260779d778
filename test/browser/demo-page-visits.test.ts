// The page of examples/browser in less usual visits: dropped files, broken files, two tabs, losses, older browsers.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ggufFile, ggufTensor, onnxFile, onnxTensor, safetensorsFile } from '../fuzz/build.mjs';
import { DemoSite, demoModel, type Visit } from './demo-visit.js';
import { expectPicture } from './map-pictures.js';

const KIB = 1_024;
/** The longest that a front takes to where the device is, and some more. */
const SWEEP_MS = 1_200;
/** Makes the worker's GPU device one that `lose()` can take away. */
const LOSABLE = `
  let lose = () => undefined;
  const ask = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    const device = await ask.call(this, descriptor);
    lose = () => device.destroy();
    return device;
  };`;

describe('the page of examples/browser, in less usual visits', { timeout: 120_000 }, () => {
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

  it.each([
    {
      name: 'dropped.safetensors',
      bytes: safetensorsFile(
        { w: { dtype: 'U8', shape: [64 * KIB], data_offsets: [0, 64 * KIB] } },
        64 * KIB,
      ),
      tensor: /^w {2}U8 \[65536\]/,
    },
    {
      name: 'dropped.gguf',
      bytes: ggufFile({ tensors: [ggufTensor({ name: 'blk.0', dims: [16 * KIB] })], data: 64 * KIB }),
      tensor: /^blk\.0 {2}F32 \[16384\]/,
    },
    {
      name: 'dropped.onnx',
      bytes: onnxFile({ initializers: [onnxTensor({ name: 'conv', dims: [16 * KIB], raw: 64 * KIB })] }),
      tensor: /^conv {2}\S+ \[16384\]/,
    },
  ])('takes $name when it is dropped, and knows its tensor', async ({ name, bytes, tensor }) => {
    await visit.open();
    await visit.drop(name, bytes);
    await visit.headline('Sealed');
    await visit.page.getByText('1 tensor: point at one').waitFor();
    await visit.page.getByRole('slider', { name: 'Tensor' }).focus();
    await visit.page.keyboard.press('Home');
    await visit.page.getByText(tensor).waitFor();
    await visit.press('Verify');
    await visit.headline('Every block is as it was sealed');
  });

  it('says in words what is wrong with a hostile file, and seals another one after it', async () => {
    await visit.open();
    // A header that says it is eight exabytes long.
    await visit.drop('liar.safetensors', safetensorsFile('{}', 5_000, 2n ** 62n));
    await visit.page.getByText(/^This cannot be read as safetensors, so nothing was sealed: /).waitFor();
    await visit.sealDemo();
    await visit.press('Verify');
    await visit.headline('Every block is as it was sealed');
  });

  it('shows how far the device has hashed, and nothing in the colour of a verdict before there is one', async () => {
    // The worker says nothing more once two of three megabytes are hashed, until it is told to go on.
    await visit.changeWorker(`
      const post = postMessage;
      let holds = false;
      const held = [];
      globalThis.postMessage = (message) => {
        if (holds) held.push(message);
        else post(message);
        if (message.phase === 'verify' && message.bytes === 2 * 2 ** 20) holds = holding;
      };
      let holding = false;
      addEventListener('message', ({ data }) => { holding = data.method === 'verify'; });
      new BroadcastChannel('go').onmessage = () => {
        holds = false;
        for (const message of held) post(message);
      };`);
    await visit.open();
    await visit.choose('three-megabytes.safetensors', demoModel(768));
    await visit.headline('Sealed');
    await visit.press('Verify');
    await visit.page.getByText('2.1 MB of 3.1 MB').waitFor();
    await visit.page.waitForTimeout(SWEEP_MS);
    await visit.shot('sweep');
    await expectPicture(visit.page, 'sweep');
    await visit.page.evaluate(() => new BroadcastChannel('go').postMessage(null));
    await visit.headline('Every block is as it was sealed');
  });

  it('moves nothing where less motion is asked for, and says the same', async () => {
    await visit.page.emulateMedia({ reducedMotion: 'reduce' });
    await visit.open('?seed=5');
    await visit.sealDemo();
    await visit.press('Flip one bit');
    await visit.headline('One bit was flipped');
    await visit.press('Verify');
    await visit.headline('Caught: 1 block is not what was sealed');
    expect(await visit.page.evaluate(() => document.getAnimations().length)).toBe(0);
    await visit.page.emulateMedia({ reducedMotion: 'no-preference' });
    // The halo around the damage, which is what must not move above.
    expect(await visit.page.evaluate(() => document.getAnimations().length)).toBeGreaterThan(0);
  });

  it('hashes by hash-wasm where WebAssembly has no SIMD', async () => {
    await visit.changeWorker(`
      WebAssembly.validate = () => false;
      Object.defineProperty(navigator, 'gpu', { value: undefined });`);
    await visit.open();
    await visit.sealDemo();
    await visit.page.getByText(/with the hash-wasm engine/).waitFor();
    await visit.press('Verify');
    await visit.headline('Every block is as it was sealed');
  });

  it('works in two tabs at once, each with its own seal', async () => {
    const other = await visit.context.newPage();
    visit.watch(other);
    await visit.open();
    await visit.sealDemo();
    await other.goto(visit.page.url());
    await other.getByLabel('Model file').setInputFiles({
      name: 'other.bin',
      mimeType: 'application/octet-stream',
      buffer: Buffer.alloc(9_000, 7),
    });
    const heading = (name: string): Promise<void> => other.getByRole('heading', { level: 1, name }).waitFor();
    await heading('Sealed');
    await Promise.all([
      visit.press('Verify'),
      other.getByRole('button', { name: 'Flip one bit', exact: true }).click(),
    ]);
    await visit.headline('Every block is as it was sealed');
    await heading('One bit was flipped');
    await visit.press('Verify');
    await visit.headline('Every block is as it was sealed');
    await other.getByRole('button', { name: 'Verify', exact: true }).click();
    await heading('Caught: 1 block is not what was sealed');
  });

  it('says that the device was lost while it released, and not that the memory was overwritten', async () => {
    await visit.changeWorker(`${LOSABLE}
      addEventListener('message', ({ data }) => data.method === 'release' && lose());`);
    await visit.open();
    await visit.sealDemo();
    await visit.press('Release');
    await visit.headline('The seal is void');
    await visit.page.getByText(/GPU device was lost, and every seal on it is void/).waitFor();
    await visit.page.getByText(/freed, perhaps not overwritten first/).waitFor();
    await visit.page.locator('#verify[aria-disabled="true"]').waitFor();
    // The headline of the loss stays when the release has come to its end.
    await visit.headline('The seal is void');
    await visit.press('Another model');
    await visit.sealDemo();
  });

  it('opens the next model where the device is lost while the one before is closed', async () => {
    await visit.changeWorker(`${LOSABLE}
      let opens = 0;
      addEventListener('message', ({ data }) => data.method === 'open' && ++opens === 2 && lose());`);
    await visit.open();
    await visit.sealDemo();
    await visit.press('Another model');
    await visit.sealDemo();
    await visit.press('Verify');
    await visit.headline('Every block is as it was sealed');
  });
});
