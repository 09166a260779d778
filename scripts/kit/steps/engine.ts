import { readFile } from 'node:fs/promises';
import { brotliDecompressSync } from 'node:zlib';
import type { InferenceSession, Tensor } from 'onnxruntime-web/webgpu';
import { isVramError } from '../../../src/base/errors.js';
import { type Device, gpuDeviceOf } from '../../../src/device/index.js';
import { EngineView } from '../../../src/engines/onnxruntime/witness/index.js';
import { bytesSource, VramManager } from '../../../src/index.js';
import { withGpuGlobals } from '../../../src/node/index.js';
import {
  createSession,
  type OnnxSession,
  openDevice,
  run,
  type SealedOnnx,
  sealOnnx,
} from '../../../src/onnxruntime.js';
import { quantizedBlock } from '../../../test/support/engine-models.js';
import { Failure, kitPath, Skip, type StepContext } from './context.js';
import { requireDawn } from './dawn.js';
import { elapsedMs, medianMs, rounded } from './measuring.js';

type Ort = typeof import('onnxruntime-web/webgpu');
type Feeds = Readonly<Record<string, Tensor>>;

const RECOGNISER = kitPath('../models/ch_PP-OCRv4_rec_infer.onnx');
/** The engine's WebAssembly, which is too large for the kit uncompressed. */
const WASM = kitPath('../node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.wasm.br');
/** max|a - b| / max|b| against the CPU: a different order of additions stays below it, a wrong weight far exceeds it. */
const MAX_DIFFERENCE = 1e-4;
const DRILL = { flips: 64, seed: 9 };
const REPEATS = 5;
/** Any verification of this process counts. */
const LONG_AGO_MS = 3_600_000;

interface Subject {
  readonly name: string;
  readonly model: Uint8Array;
  readonly inputShape: readonly number[];
}

/** A real model; on a software adapter, which compiles its shaders for minutes, two layers of 4-bit weights. */
async function subjectFor({ info }: Device): Promise<Subject> {
  if (info.execution !== 'hardware') {
    return { name: 'made 4-bit block', model: quantizedBlock(), inputShape: [4, 128] };
  }
  const model = new Uint8Array(await readFile(RECOGNISER));
  return { name: 'PP-OCRv4 recogniser', model, inputShape: [1, 3, 48, 96] };
}

/**
 * ONNX Runtime Web computes on sealed weights, on the first WebGPU adapter: the output agrees with the CPU's, runs are
 * refused once bits are flipped, and after healing the output is the same bit for bit.
 */
export async function engine(context: StepContext): Promise<void> {
  await requireDawn();
  const ort = await loadEngine();
  const device = await openAdapter();
  const manager = await VramManager.open({
    device,
    workerId: 'kit',
    policy: 'any',
    drills: true,
    keep: 'leaves',
  });
  try {
    context.figure('adapter', device.info.name);
    context.figure('execution', device.info.execution);
    const subject = await subjectFor(device);
    const sealed = await sealOnnx(manager, bytesSource(subject.model, subject.name));
    context.figure('sealed', {
      model: subject.name,
      bytes: sealed.movedBytes,
      tensors: sealed.moved.length,
    });
    await computeOn(context, ort, device, sealed, subject);
    await sealed.source.close();
  } finally {
    await manager.close();
    await device.close();
  }
}

/** Loaded by this step alone: it is large. */
async function loadEngine(): Promise<Ort> {
  const ort = await import('onnxruntime-web/webgpu');
  ort.env.logLevel = 'error';
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = brotliDecompressSync(await readFile(WASM));
  return ort;
}

async function openAdapter(): Promise<Device> {
  try {
    return await openDevice({ drills: true });
  } catch (error) {
    if (isVramError(error, 'DEVICE_UNAVAILABLE')) throw new Skip(error.message);
    throw error;
  }
}

async function computeOn(
  context: StepContext,
  ort: Ort,
  device: Device,
  sealed: SealedOnnx,
  subject: Subject,
): Promise<void> {
  const { expected, feeds } = await onCpu(ort, subject);
  const started = performance.now();
  const session = await createSession(ort, sealed, { device, preferredLayout: 'NCHW' });
  context.figure('sessionMs', rounded(performance.now() - started));
  const first = await run(session, feeds);
  const output = dataOf(first.outputs);
  const difference = relativeDifference(output, expected);
  context.figure('difference', difference);
  context.figure('witness', { ...first.witness });
  const { tensors, sealedTensors, copies, readWrite } = first.witness;
  if (tensors !== sealedTensors || copies + readWrite > 0) {
    throw new Failure(`the engine bound ${tensors} of ${sealedTensors} tensors, and copied or wrote some`);
  }
  if (difference > MAX_DIFFERENCE) throw new Failure(`its output differs from the CPU's by ${difference}`);
  context.figure('damage', await damageAndHeal(session, sealed, feeds, output));
  const plain = await plainSession(ort, device, subject.model);
  context.figure('steadyMs', await steadyMs({ sealed, session, plain, feeds }));
  await plain.release();
  await session.release();
}

async function onCpu(
  ort: Ort,
  { model, inputShape }: Subject,
): Promise<{ expected: Float32Array; feeds: Feeds }> {
  // The engine's WebAssembly is compiled here, as createSession() would: without the optimising compiler, which takes
  // minutes of CPU.
  const session = await withGpuGlobals(() =>
    ort.InferenceSession.create(model, { executionProviders: ['wasm'] }),
  );
  const [name = ''] = session.inputNames;
  const length = inputShape.reduce((elements, size) => elements * size, 1);
  const data = Float32Array.from({ length }, (_, i) => Math.sin(i * 0.37) * Math.cos(i * 0.011));
  const feeds = { [name]: new ort.Tensor('float32', data, inputShape) };
  const expected = dataOf(await session.run(feeds));
  await session.release();
  return { expected, feeds };
}

/** Flipped bits change the engine's output, are refused with their tensors named, and heal to the same output. */
async function damageAndHeal(
  session: OnnxSession<Tensor>,
  { manager, shard, source }: SealedOnnx,
  feeds: Feeds,
  output: Float32Array,
): Promise<{ flips: number; tensors: number; detectMs: number }> {
  const { flips } = await manager.drill(shard, DRILL);
  const struck = new Set(flips.map(({ tensor }) => tensor));
  const damaged = dataOf((await run(session, feeds, { maxAgeMs: LONG_AGO_MS })).outputs);
  if (sameBits(damaged, output)) throw new Failure("flipped bits did not change the engine's output");
  let refusal: unknown = null;
  const detectMs = await elapsedMs(async () => {
    refusal = await run(session, feeds).then(
      () => null,
      (error: unknown) => error,
    );
  });
  if (!isVramError(refusal, 'INTEGRITY_VIOLATION'))
    throw new Failure('a run over damaged weights was not refused');
  const named = new Set(refusal.report?.damaged?.map(({ tensor }) => tensor));
  if ([...struck].some((tensor) => !named.has(tensor)) || named.size !== struck.size) {
    throw new Failure('the tensors named are not those that were hit');
  }
  await manager.heal(shard, source);
  if (!sameBits(dataOf((await run(session, feeds)).outputs), output)) {
    throw new Failure("after healing the engine's output differs from before");
  }
  return { flips: DRILL.flips, tensors: named.size, detectMs: rounded(detectMs) };
}

async function plainSession(ort: Ort, device: Device, model: Uint8Array): Promise<InferenceSession> {
  const gpu = gpuDeviceOf(device);
  if (gpu === null) throw new Failure('the device has no GPUDevice');
  // In Node the engine runs on no device without a view, which copies uploads out of shared memory.
  const { device: viewed } = new EngineView(gpu);
  const provider = { name: 'webgpu' as const, device: viewed, preferredLayout: 'NCHW' as const };
  return await withGpuGlobals(() =>
    ort.InferenceSession.create(model, { executionProviders: [provider], logSeverityLevel: 3 }),
  );
}

interface Measured {
  readonly sealed: SealedOnnx;
  readonly session: OnnxSession<Tensor>;
  readonly plain: InferenceSession;
  readonly feeds: Feeds;
}

/** Times of a run, plain and sealed, without and with a verification, and of a verification alone. Milliseconds. */
async function steadyMs({ sealed, session, plain, feeds }: Measured): Promise<Record<string, number>> {
  return {
    plain: rounded(await medianMs(REPEATS, () => plain.run(feeds))),
    sealed: rounded(await medianMs(REPEATS, () => run(session, feeds, { maxAgeMs: LONG_AGO_MS }))),
    verified: rounded(await medianMs(REPEATS, () => run(session, feeds))),
    verify: rounded(await medianMs(REPEATS, () => sealed.manager.verify(sealed.shard))),
  };
}

function dataOf(outputs: Feeds): Float32Array {
  const data = Object.values(outputs)[0]?.data;
  if (!(data instanceof Float32Array)) throw new Failure('the engine gave no numbers');
  return data;
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, index) => Object.is(value, b[index]));
}

function relativeDifference(actual: Float32Array, expected: Float32Array): number {
  let difference = 0;
  let largest = 0;
  for (const [index, value] of expected.entries()) {
    difference = Math.max(difference, Math.abs((actual[index] ?? Number.NaN) - value));
    largest = Math.max(largest, Math.abs(value));
  }
  return difference / largest;
}
