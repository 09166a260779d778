// node bench/onnxruntime.mjs [--model FILE.onnx --shape 1,3,48,64] [--runs N] [--layout NCHW] [--redirected]: the cost of
// sealed weights in ONNX Runtime Web. Measures plain and sealed sessions of one engine on one device in turns: creation,
// first run (shaders are compiled) and steady runs, the sealed ones with and without a verification. "unfolded" is plain
// without the engine's graph optimiser, which cannot fold weights that it does not hold. The default model is a chain of
// four matrix products. Verification is also measured alone, at two sizes in one buffer, to separate its fixed time from its
// rate. Ratios are medians over the rounds, and ratios of each kind's fastest run, which a busy machine disturbs least.
// --redirected: also all weights in one sealed buffer, at offsets that are inserted into the engine's bind groups.
// Needs a build. Prints one JSON document: clock and CPU time, and the load of the machine before and after.
import { readFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
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
    redirected: { type: 'boolean', default: false },
  },
});
const RUNS = Number(options.runs);
/** Bytes of the shards that verification alone is measured with. */
const SIZES = { verify64KiB: 2 ** 16, verify8MiB: 2 ** 23 };
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

/** Clock time, and CPU time of all threads of this process: a software adapter computes on them. */
async function timed(work) {
  const cpuFrom = process.cpuUsage();
  const from = performance.now();
  const result = await work();
  const ms = performance.now() - from;
  const { user, system } = process.cpuUsage(cpuFrom);
  return { ms, cpuMs: (user + system) / 1000, result };
}

function median(times) {
  return [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)];
}

/** The bytes of a source as one run, without the description of its tensors. */
function asBytes({ byteLength, label, stream, readRange, unchanged }, source) {
  return {
    byteLength,
    label,
    stream: stream.bind(source),
    readRange: readRange.bind(source),
    unchanged: unchanged.bind(source),
    close: async () => {},
  };
}

/** Runs `work` and returns the buffers of sealed weights that the device created meanwhile. */
async function sealedBuffers(gpu, work) {
  const { createBuffer } = gpu;
  const buffers = [];
  Object.defineProperty(gpu, 'createBuffer', {
    configurable: true,
    value: (descriptor) => {
      const buffer = Reflect.apply(createBuffer, gpu, [descriptor]);
      if (descriptor.label === 'sealed weights') buffers.push(buffer);
      return buffer;
    },
  });
  try {
    return { result: await work(), buffers };
  } finally {
    delete gpu.createBuffer;
  }
}

/** An engine's view of a device, which binds ranges of other buffers instead of the placeholder buffers. */
function redirectingDevice(view, ranges) {
  return new Proxy(view, {
    get: (target, key) => {
      const value = target[key];
      if (key !== 'createBindGroup') return value;
      return (descriptor) =>
        value({
          ...descriptor,
          entries: [...descriptor.entries].map((entry) => ({
            ...entry,
            resource: ranges.get(entry.resource.buffer) ?? entry.resource,
          })),
        });
    },
  });
}

/** A session over all weights in one sealed buffer, and the feeds for them. */
async function redirectedSession(gpu, manager, sealed) {
  const packed = asBytes(sealed.source, sealed.source);
  const { result: shard, buffers } = await sealedBuffers(gpu, () => manager.seal(packed));
  const [whole] = buffers;
  if (buffers.length !== 1) throw new Error(`${buffers.length} buffers, not one`);
  const ranges = new Map();
  const weights = {};
  const types = { FLOAT: 'float32', FLOAT16: 'float16', UINT8: 'uint8' };
  for (const { name, dtype, shape: dims, offset, byteLength } of sealed.manifest.tensors) {
    const stand = gpu.createBuffer({ size: 16, usage: 0x80 });
    ranges.set(stand, { buffer: whole, offset, size: Math.ceil(byteLength / 16) * 16 });
    weights[name] = ort.Tensor.fromGpuBuffer(stand, { dataType: types[dtype], dims });
  }
  const provider = {
    name: 'webgpu',
    device: redirectingDevice(new EngineView(gpu).device, ranges),
    ...layout,
  };
  const session = await withGpuGlobals(() =>
    ort.InferenceSession.create(sealed.graph, { executionProviders: [provider], logSeverityLevel: 3 }),
  );
  return { shard, session, weights };
}

const { adapter, description } = await prepareVulkan();
if (adapter === 'host') {
  console.error(`there is no WebGPU adapter to measure on: ${description}`);
  process.exit(3);
}
const loadBefore = loadavg();
const model = options.model === undefined ? products() : new Uint8Array(await readFile(options.model));
const device = await openDevice();
const gpu = gpuDeviceOf(device);
const manager = await VramManager.open({ device, workerId: 'bench', policy: 'any' });
const sealed = await sealOnnx(manager, bytesSource(model, 'model.onnx'));
// The plain session also gets its device through a view; in Node the engine does not run without one.
const provider = { name: 'webgpu', device: new EngineView(gpu).device, ...layout };
const plainSession = (graphOptimizationLevel) =>
  withGpuGlobals(() =>
    ort.InferenceSession.create(model, {
      executionProviders: [provider],
      graphOptimizationLevel,
      logSeverityLevel: 3,
    }),
  );
const plainMade = await timed(() => plainSession('all'));
const sealedMade = await timed(() => createSession(ort, sealed, { device, ...layout }));
const plain = plainMade.result;
const session = sealedMade.result;
const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 0.37));
const feeds = { [session.inputNames[0]]: new ort.Tensor('float32', data, shape) };
const unfolded = await plainSession('disabled');
const kinds = {
  plain: () => plain.run(feeds),
  unfolded: () => unfolded.run(feeds),
  sealed: () => run(session, feeds, { maxAgeMs: 3_600_000 }),
  verified: () => run(session, feeds),
  verify: () => manager.verify(sealed.shard),
};
for (const [name, byteLength] of Object.entries(SIZES)) {
  const bytes = new Uint8Array(byteLength).map((_, i) => i * 31);
  const shard = await manager.seal(bytesSource(bytes, name));
  kinds[name] = () => manager.verify(shard);
}
if (options.redirected) {
  const one = await redirectedSession(gpu, manager, sealed);
  kinds.redirected = () => one.session.run({ ...feeds, ...one.weights });
  kinds.verifyOneBuffer = () => manager.verify(one.shard);
}
const first = {};
const steady = {};
for (const [kind, work] of Object.entries(kinds)) first[kind] = await timed(work);
for (let i = 0; i < RUNS; i++) {
  for (const [kind, work] of Object.entries(kinds)) {
    steady[kind] ??= [];
    steady[kind].push(await timed(work));
  }
}
/** Medians of each kind's measurements. */
function medians(of, unit) {
  return Object.fromEntries(
    Object.entries(of).map(([kind, measured]) => [
      kind,
      Number(median([measured].flat().map((each) => each[unit])).toFixed(2)),
    ]),
  );
}
/** The median over the rounds of sealed / other: other load in a round affects both. */
function ratioOfRounds(other, unit) {
  const ratios = steady.sealed.map((each, round) => each[unit] / steady[other][round][unit]);
  return Number(median(ratios).toFixed(3));
}
/** The ratio of the fastest runs: other load can only slow a run down. */
function ratioOfQuickest(other, unit) {
  const quickest = (kind) => Math.min(...steady[kind].map((each) => each[unit]));
  return Number((quickest('sealed') / quickest(other)).toFixed(3));
}
function verificationCost({ verify64KiB, verify8MiB }) {
  const msPerByte = (verify8MiB - verify64KiB) / (SIZES.verify8MiB - SIZES.verify64KiB);
  const fixedMs = verify64KiB - SIZES.verify64KiB * msPerByte;
  return { fixed: Number(fixedMs.toFixed(2)), perMiB: Number((msPerByte * 2 ** 20).toFixed(3)) };
}
console.log(
  JSON.stringify({
    v: 1,
    adapter: description,
    model: options.model ?? 'four products of 512 x 512',
    layout: options.layout ?? 'default',
    sealedBytes: sealed.shard.byteLength,
    tensors: sealed.moved.length,
    ...Object.fromEntries(
      ['ms', 'cpuMs'].map((unit) => {
        const medianSteady = medians(steady, unit);
        return [
          unit,
          {
            made: medians({ plain: plainMade, sealed: sealedMade }, unit),
            first: medians(first, unit),
            steady: medianSteady,
            sealedToPlain: { rounds: ratioOfRounds('plain', unit), quickest: ratioOfQuickest('plain', unit) },
            sealedToUnfolded: {
              rounds: ratioOfRounds('unfolded', unit),
              quickest: ratioOfQuickest('unfolded', unit),
            },
            verification: verificationCost(medianSteady),
          },
        ];
      }),
    ),
    cores: cpus().length,
    load: { before: loadBefore, after: loadavg() },
  }),
);
await session.release();
await plain.release();
await unfolded.release();
await manager.close();
await device.close();
