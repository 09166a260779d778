// node bench/page.mjs [--mib 256] [--part memory|thread|workers|demo|reading]...: the cost of the runtime in a page
// of Chromium. Needs a build. Prints Markdown tables.
// memory: how far the renderer's peak grows while weights are sealed from a URL on WebGPU, and cached.
// thread: how long the page's thread was blocked at most while they are sealed on the host device, with and without digest
// workers.
// workers: the tree in two workers against one.
// demo, reading: how long the thread of the page of examples/browser was blocked at most, step by step; with a file of
// 32 MiB, and with the text reader.
import { readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createPortableEngine } from '../dist/digest/index.js';
import { launchChromium } from '../test/support/chromium.mjs';
import { bundleScript, servePage } from '../test/support/page-server.mjs';
import { demoSteps, readingSteps, visitDemo } from './page-steps.mjs';

const { values } = parseArgs({
  options: {
    mib: { type: 'string', default: '256' },
    part: { type: 'string', multiple: true, default: ['memory', 'thread', 'workers', 'demo', 'reading'] },
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

/** Peak resident bytes of the renderer with the page, which Linux counts from a reset on. */
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

for (const [part, steps] of [
  ['demo', demoSteps],
  ['reading', readingSteps],
]) {
  if (!values.part.includes(part)) continue;
  console.log(`| the page, ${part} | longest task, ms of processor | ms |\n|---|---|---|`);
  await visitDemo(browser, async (visit) => {
    for (const [step, work] of Object.entries(await steps(visit))) {
      const { cpuMs, wallMs } = await longestTask(work, visit.page);
      console.log(`| ${step} | ${cpuMs.toFixed(0)} | ${wallMs.toFixed(0)} |`);
    }
  });
  console.log('');
}
await browser.close();
await server.close();
