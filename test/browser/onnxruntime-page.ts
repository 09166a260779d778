// The page under test: ONNX Runtime Web computes on weights that the built library sealed, on a GPUDevice of the page's own.
import * as ort from 'onnxruntime-web/webgpu';
import * as library from '../../dist/browser.js';
import { createSession, run, sealOnnx } from '../../dist/onnxruntime-browser.js';
import type { EnginePageReport } from './report.js';

ort.env.logLevel = 'error';
ort.env.wasm.numThreads = 1;

const MODEL = '/model.onnx';
const SHAPE = [4, 128];

async function ownDevice(): Promise<GPUDevice> {
  const adapter = await navigator.gpu.requestAdapter();
  if (adapter === null) throw new Error('this page has no WebGPU adapter');
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  return await adapter.requestDevice({ requiredLimits: { maxBufferSize, maxStorageBufferBindingSize } });
}

function values(outputs: Readonly<Record<string, ort.Tensor>>): number[] {
  const data = outputs['y']?.data;
  if (!(data instanceof Float32Array)) throw new Error('no float output');
  return [...data];
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'none';
  } catch (error) {
    return library.isVramError(error) ? error.code : String(error);
  }
}

/** Plain on the CPU, sealed on the GPU, damaged, healed; then the device is taken away. */
async function computeOnSealed(): Promise<EnginePageReport> {
  const length = SHAPE.reduce((elements, size) => elements * size, 1);
  const data = Float32Array.from({ length }, (_, i) => Math.sin(i * 0.37) * Math.cos(i * 0.011));
  const feeds = { x: new ort.Tensor('float32', data, SHAPE) };
  const bytes = new Uint8Array(await (await fetch(MODEL)).arrayBuffer());
  const plain = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] });
  const expected = values(await plain.run(feeds));
  await plain.release();

  const gpu = await ownDevice();
  const device = await library.adoptGpuDevice(gpu, {}, { drills: true });
  const manager = await library.VramManager.open({ device, drills: true, policy: 'any', workerId: 'page' });
  const sealed = await sealOnnx(manager, await library.urlSource(new URL(MODEL, location.href)));
  const session = await createSession(ort, sealed, { device });
  const { outputs, report, witness } = await run(session, feeds);
  const before = values(outputs);
  await manager.drill(sealed.shard, { flips: 40, seed: 5 });
  const damaged = await codeOf(run(session, feeds));
  await manager.heal(sealed.shard, sealed.source);
  const after = values((await run(session, feeds)).outputs);
  gpu.destroy();
  await device.lost;
  const lost = await codeOf(run(session, feeds));
  const largest = Math.max(...expected.map(Math.abs));
  return {
    relativeError:
      Math.max(...before.map((value, i) => Math.abs(value - (expected[i] ?? Number.NaN)))) / largest,
    verified: report?.verified === true,
    witness: { ...witness },
    damaged,
    healedToSameBits: before.length > 0 && before.every((value, i) => Object.is(value, after[i])),
    lost,
  };
}

Object.assign(globalThis, { enginePage: { computeOnSealed } });
