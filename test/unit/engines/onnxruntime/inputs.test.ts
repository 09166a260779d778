import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gpuDeviceOf } from '../../../../src/device/index.js';
import {
  adoptGpuDevice,
  bytesSource,
  isVramError,
  openModel,
  streamSource,
  type VramError,
} from '../../../../src/index.js';
import { createSession, run, sealOnnx } from '../../../../src/onnxruntime.js';
import { onnxFile } from '../../../fuzz/build.mjs';
import {
  floatWeights,
  type OnnxNode,
  type OnnxWeights,
  onnxGraph,
  onnxModel,
  randomWeights,
} from '../../../support/onnx-models.js';
import {
  type EngineBench,
  engineBench,
  floats,
  onCpu,
  ort,
  relativeError,
  values,
} from '../../../support/onnxruntime.js';
import { prepareVulkan } from '../../../support/vulkan.js';

const { adapter } = await prepareVulkan();
const GIB = 2 ** 30;
const PRODUCT: OnnxNode = { op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] };
const feeds = { x: floats([1, 64]) };

/** y = x w, unless other nodes are given. */
function modelOf(weights: readonly OnnxWeights[], nodes: readonly OnnxNode[] = [PRODUCT]): Uint8Array {
  return onnxModel({
    inputs: [{ name: 'x', type: 'float', shape: [1, 64] }],
    outputs: [{ name: 'y', type: 'float', shape: [1, 64] }],
    nodes,
    weights,
  });
}

async function errorOf(promise: Promise<unknown>): Promise<VramError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isVramError(error)) throw new Error('no VramError', { cause: error });
  expect(error.message).not.toContain('\n');
  return error;
}

describe.skipIf(adapter === 'host')('what an engine is given (skipped without a WebGPU adapter)', () => {
  let bench: EngineBench;
  let folder: string;

  const refusal = async (model: Parameters<typeof sealOnnx>[1]): Promise<string> => {
    const error = await errorOf(sealOnnx(bench.manager, model));
    expect(error.code).toBe('INVALID_INPUT');
    return error.message;
  };

  const inFolder = async (name: string, model: Uint8Array): Promise<string> => {
    const path = join(folder, name);
    await writeFile(path, model);
    return path;
  };

  beforeAll(async () => {
    bench = await engineBench();
    folder = await mkdtemp(join(tmpdir(), 'vram-inputs-'));
  }, 240_000);

  afterAll(async () => {
    await bench?.close();
    await rm(folder, { recursive: true });
  });

  it('refuses what is not a model, or cannot be read at a position', async () => {
    for (const nothing of [undefined, null, {}, new Uint8Array(8)]) {
      expect(await refusal(nothing as never)).toBe(
        '"model" must be a source, or a model with shards: see openModel',
      );
    }
    expect(await refusal(bytesSource(new Uint8Array(64), 'zeros.onnx'))).toMatch(/^"zeros\.onnx" /);
    expect(await refusal(bytesSource(onnxFile({ initializers: [] }), 'empty.onnx'))).toBe(
      '"empty.onnx" has no weights',
    );
    expect(await refusal(streamSource([new Uint8Array(8)], 8, 'pipe'))).toBe(
      '"model" cannot be read at a position: "pipe" is a stream',
    );
  });

  it('[EN-003] refuses a model whose weights all lie inside subgraphs', async () => {
    const branch = onnxGraph({
      inputs: [],
      outputs: [{ name: 'z', type: 'float', shape: [64, 64] }],
      nodes: [{ op: 'Identity', inputs: ['own'], outputs: ['z'] }],
      weights: [randomWeights('own', [64, 64], 2)],
    });
    const choice: OnnxNode = {
      op: 'If',
      inputs: ['x'],
      outputs: ['y'],
      attributes: { then_branch: { graph: branch } },
    };
    expect(await refusal(bytesSource(modelOf([], [choice]), 'if.onnx'))).toBe(
      '"if.onnx" has no weights that can move into sealed memory; the largest, "y.then_branch/own", is not an ' +
        'initializer or Constant of the main graph',
    );
  });

  it('[EN-003] refuses a model whose weights are of a type that WebGPU lacks', async () => {
    const doubles: OnnxWeights = { name: 'w', type: 'double', shape: [8, 8], bytes: new Uint8Array(512) };
    expect(await refusal(bytesSource(modelOf([doubles]), 'double.onnx'))).toBe(
      '"double.onnx" has no weights that can move into sealed memory; the largest, "w", is of type DOUBLE, which the ' +
        'engine ' +
        'keeps on the CPU',
    );
  });

  it('refuses half precision on a device that does not compute in it, before the engine is asked', async ({
    skip,
  }) => {
    if (gpuDeviceOf(bench.device)?.features.has('shader-f16')) skip('this adapter has shader-f16');
    const halves: OnnxWeights = { name: 'w', type: 'float16', shape: [8, 8], bytes: new Uint8Array(128) };
    const sealed = await sealOnnx(bench.manager, bytesSource(modelOf([halves]), 'half.onnx'));
    const error = await errorOf(createSession(ort, sealed, { device: bench.device }));
    expect([error.code, error.message]).toEqual([
      'INVALID_INPUT',
      '"device" lacks shader-f16, and "w" is of type FLOAT16',
    ]);
    await bench.manager.release(sealed.shard);
  });

  it('refuses a weight that no binding of the device can hold, naming it, before anything is read', async () => {
    const large = { ...floatWeights('w', [8192, 65536], []), external: { path: 'large.bin', offset: 0 } };
    const external = { ...large.external, byteLength: 2 * GIB };
    const path = await inFolder('large.onnx', modelOf([{ ...large, external }]));
    // Without a byte on the disk.
    await writeFile(join(folder, 'large.bin'), '');
    await truncate(join(folder, 'large.bin'), 2 * GIB);
    expect(await refusal(await openModel(path))).toMatch(
      new RegExp(
        `^"source" needs a buffer of ${2 * GIB} bytes for the tensor "w", and a buffer of this device holds \\d+$`,
      ),
    );
    expect(bench.device.stats().liveRegions).toBe(0);
  });

  it('[EN-004] computes on external data, and heals from it', { timeout: 120_000 }, async () => {
    const w = randomWeights('w', [64, 64], 7);
    const halved = floatWeights('halved', [1], [0.5]);
    const nodes: OnnxNode[] = [
      { op: 'MatMul', inputs: ['x', 'w'], outputs: ['m'] },
      { op: 'Mul', inputs: ['m', 'halved'], outputs: ['y'] },
    ];
    const path = await inFolder(
      'outside.onnx',
      modelOf(
        [
          { ...w, external: { path: 'w.bin', offset: 4096 } },
          { ...halved, external: { path: 'w.bin', offset: 64 } },
        ],
        nodes,
      ),
    );
    const data = new Uint8Array(4096 + w.bytes.length);
    data.set(halved.bytes, 64);
    data.set(w.bytes, 4096);
    await writeFile(join(folder, 'w.bin'), data);

    const [onnx] = (await openModel(path)).shards;
    if (onnx === undefined) throw new Error('no file');
    const alone = await onnx.open();
    expect(await refusal(alone)).toMatch(/^"model" keeps weights in other files/);
    await alone.close();
    expect(await refusal({ shards: [onnx] })).toBe(
      '"outside.onnx" keeps weights in the file "w.bin", which the model does not have',
    );

    const sealed = await sealOnnx(bench.manager, await openModel(path));
    expect(sealed.moved.map(({ name }) => name)).toEqual(['w']);
    expect(sealed.staying.map(({ name, reason }) => [name, reason])).toEqual([['halved', 'small']]);
    const session = await createSession(ort, sealed, { device: bench.device });
    const expected = values((await onCpu(modelOf([w, halved], nodes), feeds))['y']);
    const before = values((await run(session, feeds)).outputs['y']);
    expect(relativeError(before, expected)).toBeLessThan(1e-5);
    await bench.manager.drill(sealed.shard, { flips: 3, seed: 1 });
    expect((await errorOf(run(session, feeds))).code).toBe('INTEGRITY_VIOLATION');
    await bench.manager.heal(sealed.shard, sealed.source);
    expect(values((await run(session, feeds)).outputs['y'])).toEqual(before);
    await session.release();
    await bench.manager.release(sealed.shard);
    await sealed.source.close();
  });

  it('[EN-003] says how much stays in the graph where that is more than a tenth', {
    timeout: 60_000,
  }, async () => {
    const nodes: OnnxNode[] = [
      { op: 'Tile', inputs: ['t', 'x'], outputs: ['u'] },
      { op: 'MatMul', inputs: ['u', 'w'], outputs: ['y'] },
    ];
    const weights = [randomWeights('w', [64, 30], 1), randomWeights('t', [64, 10], 2)];
    const sealed = await sealOnnx(bench.manager, bytesSource(modelOf(weights, nodes), 'tile.onnx'));
    expect(sealed.note).toBe(
      "only 75 % of the model's bytes are in sealed memory: 1 tensors, 2560 bytes, stay in the graph",
    );
    expect(sealed.staying).toEqual([
      {
        name: 't',
        dtype: 'FLOAT',
        byteLength: 2560,
        reason: 'operator',
        detail: 'is read by Tile as input 0, which is not known to be read from GPU memory',
      },
    ]);
    await bench.manager.release(sealed.shard);
  });

  it('names the argument of createSession and run that is wrong', { timeout: 60_000 }, async () => {
    const model = bytesSource(modelOf([randomWeights('w', [64, 64], 3)]), 'small.onnx');
    const sealed = await sealOnnx(bench.manager, model);
    const { device } = bench;
    const made = async (...given: readonly unknown[]): Promise<string> => {
      const error = await errorOf(Reflect.apply(createSession, undefined, given));
      expect(error.code).toBe('INVALID_INPUT');
      return error.message;
    };
    expect(await made({}, sealed, { device })).toBe('"ort" must be the module onnxruntime-web/webgpu');
    for (const other of [undefined, {}, { ...sealed }]) {
      expect(await made(ort, other, { device })).toBe('"sealed" must be what sealOnnx() returned');
    }
    expect(await made(ort, sealed, {})).toBe('"device" must be an open Device');
    const gpu = gpuDeviceOf(device);
    if (gpu === null) throw new Error('no GPU device');
    const other = await adoptGpuDevice(gpu);
    expect(await made(ort, sealed, { device: other })).toBe(
      '"device" is not the one that holds the sealed weights: give the manager the same device',
    );
    await other.close();
    expect(await made(ort, sealed, { device, preferredLayout: 'CHWN' })).toMatch(
      /^"preferredLayout" must be/,
    );
    expect(await made(ort, sealed, { device, layout: 'NCHW' })).toMatch(/^"options" .*layout/);

    const session = await createSession(ort, sealed, { device });
    const fed = async (...given: readonly unknown[]): Promise<string> => {
      const error = await errorOf(Reflect.apply(run, undefined, given));
      expect(error.code).toBe('INVALID_INPUT');
      return error.message;
    };
    expect(await fed({}, feeds)).toBe('"session" must be one that createSession() made');
    expect(await fed(session, null)).toBe('"feeds" must be an object of tensors by name');
    expect(await fed(session, {})).toBe('"feeds" lacks the input "x"');
    expect(await fed(session, { ...feeds, z: feeds.x })).toBe(
      '"feeds" has no input to give "z" to; inputs: x',
    );
    expect(await fed(session, { ...feeds, w: feeds.x })).toBe(
      '"feeds" names the sealed weight "w", which can only come from sealed memory',
    );
    for (const value of [null, 5, new Float32Array(64)]) {
      expect(await fed(session, { x: value })).toBe('"feeds" must have a tensor of the engine for "x"');
    }
    expect(await fed(session, { x: floats([1, 65]) })).toMatch(
      /^"feeds" was refused by the engine: Got invalid dimensions for input: x/,
    );
    const whole = new ort.Tensor('int32', new Int32Array(64), [1, 64]);
    expect(await fed(session, { x: whole })).toMatch(
      /^"feeds" was refused by the engine: Unexpected input data type/,
    );
    expect(await fed(session, feeds, { tensor: 'w' })).toMatch(/^"options" .*tensor/);
    // A refused feed ends nothing.
    expect((await run(session, feeds)).witness.tensors).toBe(1);
    await session.release();
    await bench.manager.release(sealed.shard);
  });
});
