// node bench/onnxruntime.mjs [--model FILE.onnx --shape 1,3,48,64] [--runs N] [--layout NCHW]: what sealed weights cost ONNX Runtime Web.
// Plain and sealed sessions of one engine on one device, measured in turns: making, first run (shaders are compiled), steady runs; sealed
// ones without a verification and with one each. Without a model: a chain of four matrix products. Over the built library.
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import * as ort from 'onnxruntime-web/webgpu';
import { gpuDeviceOf } from '../dist/device/index.js';
import { EngineView } from '../dist/engines/onnxruntime/witness/index.js';
import { bytesSource, VramManager } from '../dist/index.js';
import { withGpuGlobals } from '../dist/node/index.js';
import { createSession, openDevice, run, sealOnnx } from '../dist/onnxruntime.js';
import { concat, field, onnxFile, onnxTensor } from '../test/fuzz/build.mjs';
import { prepareVulkan } from '../test/support/vulkan.mjs';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    shape: { type: 'string', default: '1,512' },
    runs: { type: 'string', default: '15' },
    layout: { type: 'string' },
  },
});
const RUNS = Number(options.runs);
const shape = options.shape.split(',').map(Number);
const layout = options.layout === undefined ? {} : { preferredLayout: options.layout };
ort.env.logLevel = 'error';
ort.env.wasm.numThreads = 1;

/** x -> y through four matrices of 512 x 512. */
function products() {
  const value = (name) => {
    const dims = [1, 512].map((size) => field(1, field(1, size)));
    return concat(field(1, name), field(2, field(1, concat(field(1, 1), field(2, concat(...dims))))));
  };
  const names = ['x', 'a', 'b', 'c', 'y'];
  const nodes = [0, 1, 2, 3].map((i) =>
    field(1, concat(field(1, names[i]), field(1, `w${i}`), field(2, names[i + 1]), field(4, 'MatMul'))),
  );
  const weights = [0, 1, 2, 3].map((i) => {
    const data = Float32Array.from({ length: 512 * 512 }, (_, k) => Math.sin(k * 0.37 + i) / 16);
    return onnxTensor({ name: `w${i}`, dims: [512, 512], raw: new Uint8Array(data.buffer) });
  });
  return onnxFile({
    initializers: weights,
    graph: [...nodes, field(11, value('x')), field(12, value('y'))],
    fields: [field(8, concat(field(1, ''), field(2, 17)))],
  });
}

async function timed(work) {
  const from = performance.now();
  const result = await work();
  return { ms: performance.now() - from, result };
}

function median(times) {
  return [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)];
}

const { adapter, description } = await prepareVulkan();
if (adapter === 'host') {
  console.error(`there is no WebGPU adapter to measure on: ${description}`);
  process.exit(3);
}
const model = options.model === undefined ? products() : new Uint8Array(await readFile(options.model));
const device = await openDevice();
const manager = await VramManager.open({ device, workerId: 'bench', policy: 'any' });
const sealed = await sealOnnx(manager, bytesSource(model, 'model.onnx'));
// The plain session gets its device through a view too: in Node the engine runs on none without.
const view = new EngineView(gpuDeviceOf(device));
const provider = { name: 'webgpu', device: view.device, ...layout };
const plainMade = await timed(() =>
  withGpuGlobals(() => ort.InferenceSession.create(model, { executionProviders: [provider] })),
);
const sealedMade = await timed(() => createSession(ort, sealed, { device, ...layout }));
const plain = plainMade.result;
const session = sealedMade.result;
const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 0.37));
const feeds = { [session.inputNames[0]]: new ort.Tensor('float32', data, shape) };
const kinds = {
  plain: () => plain.run(feeds),
  sealed: () => run(session, feeds, { maxAgeMs: 3_600_000 }),
  verified: () => run(session, feeds),
  verify: () => manager.verify(sealed.shard),
};
const first = {};
const times = {};
for (const [kind, work] of Object.entries(kinds)) first[kind] = (await timed(work)).ms;
for (let i = 0; i < RUNS; i++) {
  for (const [kind, work] of Object.entries(kinds)) {
    times[kind] ??= [];
    times[kind].push((await timed(work)).ms);
  }
}
const steady = Object.fromEntries(Object.entries(times).map(([kind, each]) => [kind, median(each)]));
const rounded = (object) =>
  Object.fromEntries(Object.entries(object).map(([key, ms]) => [key, Number(ms.toFixed(2))]));
console.log(
  JSON.stringify({
    v: 1,
    adapter: description,
    model: options.model ?? 'four products of 512 x 512',
    layout: options.layout ?? 'default',
    sealedBytes: sealed.shard.byteLength,
    tensors: sealed.moved.length,
    madeMs: rounded({ plain: plainMade.ms, sealed: sealedMade.ms }),
    firstMs: rounded(first),
    steadyMs: rounded(steady),
    sealedToPlain: Number((steady.sealed / steady.plain).toFixed(3)),
  }),
);
await session.release();
await plain.release();
await manager.close();
await device.close();
