// node bench/page.mjs [--mib 256] [--part memory|thread|workers|demo]...: what the runtime costs a page of Chromium.
// npm run build comes first. Prints Markdown tables.
// memory: how far the renderer's peak grows while weights are sealed from a URL on WebGPU, and cached.
// thread: the longest time for which the page's thread was kept while they are sealed on the host device, with and without
// digest workers.
// workers: the tree in two workers against one.
// demo: the longest time for which the thread of the page of examples/browser was kept, step by step.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createPortableEngine } from '../dist/digest/index.js';
import { buildWeb } from '../scripts/build-web.mjs';
import { serveWeb } from '../scripts/serve-web.mjs';
import { launchChromium } from '../test/support/chromium.mjs';
import { bundleScript, servePage } from '../test/support/page-server.mjs';

const { values } = parseArgs({
  options: {
    mib: { type: 'string', default: '256' },
    part: { type: 'string', multiple: true, default: ['memory', 'thread', 'workers', 'demo'] },
  },
});
const MIB = 2 ** 20;
const bytes = Number(values.mib) * MIB;
const chunk = new Uint8Array(MIB).map((_, at) => (at * 31) ^ (at >> 8));
const script = (name) => fileURLToPath(new URL(`../test/browser/${name}`, import.meta.url));

/** Serves `length` bytes without holding them; the page asks for all of them in one request. */
function endless(length) {
  return (request, response) => {
    response.writeHead(200, { 'content-length': length, etag: '"bench"' });
    if (request.method === 'HEAD') return response.end();
    let sent = 0;
    const more = () => {
      while (sent < length) {
        const part = chunk.subarray(0, Math.min(chunk.length, length - sent));
        sent += part.length;
        if (!response.write(part)) return response.once('drain', more);
      }
      response.end();
    };
    more();
  };
}

async function digestOf(length) {
  const stream = createPortableEngine().start({ byteLength: length, sha256: false, keep: 'root' });
  for (let at = 0; at < length; at += chunk.length) {
    await stream.update(chunk.subarray(0, Math.min(chunk.length, length - at)));
  }
  return (await stream.finish()).fsverity;
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
const seconds = (ms) => (ms / 1000).toFixed(1);
const small = 32 * MIB;
const server = await servePage(script('runtime-page.ts'), {
  '/large': endless(bytes),
  '/small': endless(small),
  '/digest-worker.js': await bundleScript(script('runtime-digest-worker.ts')),
});
const { browser, version, adapter } = await launchChromium();
const page = await browser.newPage();
await page.goto(server.url);
await page.waitForFunction(() => 'runtime' in globalThis);
console.log(
  `${cpus()[0]?.model ?? 'CPU'}, ${cpus().length} cores, load ${loadavg()[0].toFixed(1)}, Chromium ${version}, ${adapter}\n`,
);

/** Peak resident bytes of the renderer with the page, which Linux counts from when it is told to. */
async function renderer() {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  const renderers = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
  const read = (id, name) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${id}/status`, 'utf8'))?.[1]) *
    1024;
  return {
    now: () => renderers.reduce((sum, id) => sum + read(id, 'VmRSS'), 0),
    peak: () => renderers.reduce((sum, id) => sum + read(id, 'VmHWM'), 0),
  };
}

const seal = (request) => page.evaluate((asked) => globalThis.runtime.seal(asked), request);

if (values.part.includes('memory')) {
  const warm = { path: '/small', expected: await digestOf(small), device: 'webgpu:0', cached: true };
  const first = await seal(warm);
  if (first.outcome !== 'sealed') throw new Error(`the page could not seal: ${first.outcome}`);
  const process = await renderer();
  const before = process.now();
  const report = await seal({ ...warm, path: '/large', expected: await digestOf(bytes) });
  const grown = (process.peak() - before) / MIB;
  console.log(
    '| sealed from a URL, and cached | outcome | growth of the renderer, MiB | s |\n|---|---|---|---|',
  );
  console.log(
    `| ${values.mib} MiB | ${report.outcome}, ${report.cache} | ${grown.toFixed(0)} | ${seconds(report.sealMs)} |\n`,
  );
}

/** The longest task of a page's thread, by the wall and by the processor, while `work` runs. */
async function longestTask(work, traced = page) {
  await browser.startTracing(traced, { categories: ['toplevel', '__metadata'] });
  await work();
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString('utf8'));
  const mains = new Set(
    traceEvents
      .filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain')
      .map(({ pid, tid }) => `${pid}:${tid}`),
  );
  const tasks = traceEvents.filter(
    ({ ph, pid, tid, tdur }) => ph === 'X' && tdur > 0 && mains.has(`${pid}:${tid}`),
  );
  if (tasks.length === 0) throw new Error('the trace has no task of the page');
  const longest = (key) => Math.max(...tasks.map((task) => task[key] ?? 0)) / 1000;
  return { wallMs: longest('dur'), cpuMs: longest('tdur') };
}

if (values.part.includes('thread')) {
  const expected = await digestOf(small);
  console.log('| 32 MiB sealed and verified | longest task, ms of processor | ms | s |\n|---|---|---|---|');
  for (const [device, workers] of [
    ['host', undefined],
    ['host', 2],
    ['webgpu:0', undefined],
    ['webgpu:0', 2],
  ]) {
    const reports = [];
    for (let round = 0; round < 3; round++) {
      let sealMs = 0;
      const task = await longestTask(async () => {
        ({ sealMs } = await seal({ path: '/small', expected, device, workers }));
      });
      reports.push({ ...task, sealMs });
    }
    const middle = (key) => median(reports.map((report) => report[key]));
    const how = workers === undefined ? 'in the page' : `${workers} workers`;
    const figures = [middle('cpuMs').toFixed(0), middle('wallMs').toFixed(0), seconds(middle('sealMs'))];
    console.log(`| ${device}, digests: ${how} | ${figures.join(' | ')} |`);
  }
  console.log('');
}

if (values.part.includes('workers')) {
  console.log('| tree over 64 MiB | ms | ratio |\n|---|---|---|');
  const rounds = { 1: [], 2: [] };
  for (let round = 0; round < 5; round++) {
    for (const workers of [1, 2]) {
      const { ms } = await page.evaluate(
        ([length, count]) => globalThis.runtime.hash(length, count),
        [64 * MIB, workers],
      );
      rounds[workers].push(ms);
    }
  }
  const ratio = median(rounds[1].map((ms, round) => ms / rounds[2][round]));
  console.log(`| one worker | ${median(rounds[1]).toFixed(0)} | |`);
  console.log(`| two workers | ${median(rounds[2]).toFixed(0)} | ${ratio.toFixed(2)} |`);
}

/** The page of examples/browser in a tab of its own: a file of 32 MiB sealed, verified, damaged, healed. */
async function demo() {
  const folder = mkdtempSync(join(tmpdir(), 'vram-page-'));
  const site = await serveWeb((await buildWeb(join(folder, 'web'))).folder);
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  const visit = await context.newPage();
  visit.setDefaultTimeout(120_000);
  const shows = (name) => visit.getByRole('heading', { level: 1, name }).waitFor();
  const press = (name) => visit.getByRole('button', { name, exact: true }).click();
  // By its path: the debugger would take as long to hand over the bytes as the page to seal them.
  const file = join(folder, 'weights.bin');
  writeFileSync(file, Buffer.concat(Array.from({ length: small / MIB }, () => chunk)));
  const steps = {
    open: () => visit.goto(`${site.url}?seed=5`),
    seal: () =>
      visit
        .getByLabel('Model file')
        .setInputFiles(file)
        .then(() => shows('Sealed')),
    verify: () => press('Verify').then(() => shows('Every block is as it was sealed')),
    'flip 64 bits': () => press('Flip 64 bits').then(() => shows('64 bits were flipped')),
    'verify, damaged': () => press('Verify').then(() => shows(/^Caught/)),
    heal: () => press('Heal').then(() => shows(/^Healed/)),
  };
  try {
    for (const [step, work] of Object.entries(steps)) {
      const { cpuMs, wallMs } = await longestTask(work, visit);
      console.log(`| ${step} | ${cpuMs.toFixed(0)} | ${wallMs.toFixed(0)} |`);
    }
  } finally {
    await context.close();
    await site.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

if (values.part.includes('demo')) {
  console.log('| the page, 32 MiB | longest task, ms of processor | ms |\n|---|---|---|');
  await demo();
}
await browser.close();
await server.close();
