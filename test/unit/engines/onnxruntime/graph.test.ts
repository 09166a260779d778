import onnxProto from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { planGraph, rewriteGraph } from '../../../../src/engines/onnxruntime/graph/index.js';
import { bytesAccess } from '../../../../src/models/random-access.js';
import { refusalOf } from '../../../../src/models/refusal.js';
import { concat, field, onnxFile, onnxTensor } from '../../../fuzz/build.mjs';
import { type OcrModel, ocrModel } from '../../../support/ocr-models.js';
import {
  floatWeights,
  int64Weights,
  type OnnxGraph,
  type OnnxNode,
  onnxGraph,
  onnxModel,
  randomWeights,
} from '../../../support/onnx-models.js';
import { stride } from '../../../support/stride.js';

const { ModelProto } = onnxProto.onnx;
const noExternal = async (): Promise<Uint8Array> => {
  throw new Error('this model has no external file');
};

/** A graph with one MatMul over `w`, and what a test adds. */
function withMatMul(more: Partial<OnnxGraph> & { readonly nodes?: readonly OnnxNode[] } = {}): Uint8Array {
  return onnxModel({
    inputs: [{ name: 'x', type: 'float', shape: [1, 8] }],
    outputs: more.outputs ?? [{ name: 'y', type: 'float', shape: [1, 8] }],
    nodes: [{ op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }, ...(more.nodes ?? [])],
    weights: [randomWeights('w', [8, 8], 1), ...(more.weights ?? [])],
  });
}

async function rewritten(bytes: Uint8Array): Promise<ReturnType<typeof ModelProto.decode>> {
  const access = bytesAccess(bytes);
  const graph = await rewriteGraph(access, await planGraph(access), noExternal, refusalOf('model'));
  return ModelProto.decode(graph);
}

async function reasonOf(bytes: Uint8Array, name: string): Promise<string | undefined> {
  const { staying } = await planGraph(bytesAccess(bytes));
  const tensor = staying.find((each) => each.name === name);
  return tensor === undefined ? undefined : `${tensor.reason}: ${tensor.detail}`;
}

describe('planGraph', () => {
  const models: readonly [OcrModel, number, number, number][] = [
    ['cls', 183, 533_576, 1_084],
    ['det', 124, 4_686_320, 1_044],
    ['rec', 122, 10_760_436, 816],
  ];
  it.each(models.slice(0, stride(3) === 1 ? 3 : 1))(
    'moves nearly all bytes of the OCR model %s',
    async (name, count, bytes, left) => {
      const plan = await planGraph(bytesAccess(await ocrModel(name)));
      expect(plan.moving).toHaveLength(count);
      expect([plan.movingBytes, plan.stayingBytes]).toEqual([bytes, left]);
      expect(new Set(plan.staying.map(({ reason }) => reason))).toEqual(new Set(['small']));
    },
  );

  it('[EN-003] says of each tensor why it stays', async () => {
    const large = Array.from({ length: 16 }, () => 1);
    const shape = int64Weights('shape', large);
    const nodes: OnnxNode[] = [
      { op: 'Add', inputs: ['y', 'tiny'], outputs: ['a'] },
      { op: 'Reshape', inputs: ['a', 'shape'], outputs: ['b'] },
      { op: 'Resize', inputs: ['b', '', 'scales'], outputs: ['c'] },
      { op: 'Add', inputs: ['c', 'both'], outputs: ['d'] },
      { op: 'Tile', inputs: ['both', 'shape'], outputs: ['e'] },
    ];
    const file = withMatMul({
      outputs: [{ name: 'given', type: 'float', shape: [16] }],
      nodes,
      weights: [
        floatWeights('tiny', [8], large.slice(8)),
        shape,
        floatWeights('scales', [16], large),
        floatWeights('both', [16], large),
        floatWeights('given', [16], large),
        floatWeights('alone', [16], large),
      ],
    });
    expect(await reasonOf(file, 'w')).toBeUndefined();
    expect(await reasonOf(file, 'tiny')).toBe('small: has fewer than 64 bytes');
    expect(await reasonOf(file, 'shape')).toBe('type: is of type INT64, which the engine keeps on the CPU');
    const unknown = 'which is not known to be read from GPU memory';
    expect(await reasonOf(file, 'scales')).toBe(`operator: is read by Resize as input 2, ${unknown}`);
    expect(await reasonOf(file, 'both')).toBe(`operator: is read by Tile as input 0, ${unknown}`);
    expect(await reasonOf(file, 'given')).toBe('output: is an output of the graph');
    expect(await reasonOf(file, 'alone')).toBe('unused: is read by no node');
  });

  it('[EN-003] leaves what a graph inside a node defines or reads', async () => {
    const branch = onnxGraph({
      inputs: [],
      outputs: [{ name: 'z', type: 'float', shape: [8, 8] }],
      nodes: [{ op: 'Add', inputs: ['captured', 'own'], outputs: ['z'] }],
      weights: [randomWeights('own', [8, 8], 2)],
    });
    const file = withMatMul({
      nodes: [
        { op: 'MatMul', inputs: ['x', 'captured'], outputs: ['m'] },
        { op: 'If', inputs: ['m'], outputs: ['i'], attributes: { then_branch: { graph: branch } } },
      ],
      weights: [randomWeights('captured', [8, 8], 3)],
    });
    expect(await reasonOf(file, 'captured')).toBe('inside: is read inside a node');
    expect(await reasonOf(file, 'i.then_branch/own')).toBe(
      'inside: is not an initializer or Constant of the main graph',
    );
  });

  it('[EN-003] refuses a model without a weight that can move, naming the largest', async () => {
    const file = onnxModel({
      inputs: [],
      outputs: [{ name: 'y', type: 'float', shape: [8, 8] }],
      nodes: [{ op: 'Relu', inputs: ['w'], outputs: ['y'] }],
      weights: [randomWeights('w', [8, 8], 1), floatWeights('small', [1], [1])],
    });
    await expect(planGraph(bytesAccess(file), 'x.onnx')).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message:
        '"x.onnx" has no weights that can move into sealed memory; the largest, "w", is read by Relu as input 0, ' +
        'which is not known to be read from GPU memory',
    });
    await expect(planGraph(bytesAccess(onnxFile({ initializers: [] })), 'x.onnx')).rejects.toThrow(
      '"x.onnx" has no weights',
    );
    await expect(planGraph(bytesAccess(new Uint8Array(64)), 'x.onnx')).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'x.onnx',
    });
  });
});

describe('rewriteGraph', () => {
  it('changes nothing but the weights that move, which become inputs', async () => {
    const original = await ocrModel('cls');
    const { moving } = await planGraph(bytesAccess(original));
    const names = new Set(moving.map(({ name }) => name));
    const [before, after] = [ModelProto.decode(original), await rewritten(original)];
    const [old, graph] = [before.graph, after.graph];
    if (!old || !graph) throw new Error('no graph');
    const inputs = (graph.input ?? []).slice(old.input?.length);
    expect(inputs.map(({ name }) => name)).toEqual(moving.map(({ name }) => name));
    expect(
      inputs.map(({ type }) => type?.tensorType?.shape?.dim?.map(({ dimValue }) => Number(dimValue))),
    ).toEqual(moving.map(({ shape }) => shape));
    expect(new Set(inputs.map(({ type }) => type?.tensorType?.elemType))).toEqual(new Set([1]));
    // Everything else as it was: put the old fields beside what is left of the new ones.
    old.node = old.node?.filter(({ output }) => !names.has(output?.[0] ?? '')) ?? [];
    old.initializer = old.initializer?.filter(({ name }) => !names.has(name ?? '')) ?? [];
    graph.input = graph.input?.slice(0, old.input?.length) ?? [];
    expect(ModelProto.toObject(after)).toEqual(ModelProto.toObject(before));
  });

  it('moves the value of a Constant node with its node', async () => {
    const value = concat(
      field(1, 'value'),
      field(5, onnxTensor({ name: null, dims: [4, 8], raw: 128 })),
      field(20, 4),
    );
    const constant = concat(field(2, 'k'), field(4, 'Constant'), field(5, value));
    const mul = concat(field(1, 'x'), field(1, 'k'), field(2, 'y'), field(4, 'Mul'));
    const file = onnxFile({ initializers: [], graph: [field(1, constant), field(1, mul)] });
    const { graph } = await rewritten(file);
    expect(graph?.node?.map(({ opType }) => opType)).toEqual(['Mul']);
    expect(graph?.input?.map(({ name }) => name)).toEqual(['k']);
  });

  it('adds no second input for an initializer that is one already', async () => {
    const file = onnxModel({
      inputs: [
        { name: 'x', type: 'float', shape: [1, 8] },
        { name: 'w', type: 'float', shape: [8, 8] },
      ],
      outputs: [{ name: 'y', type: 'float', shape: [1, 8] }],
      nodes: [{ op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }],
      weights: [randomWeights('w', [8, 8], 1)],
    });
    const { graph } = await rewritten(file);
    expect(graph?.input?.map(({ name }) => name)).toEqual(['x', 'w']);
    expect(graph?.initializer).toEqual([]);
  });

  it('brings in external tensors that stay, reads no others, and so needs no other file', async () => {
    const tiny = floatWeights('tiny', [2], [1, 2]);
    const w = randomWeights('w', [8, 8], 1);
    const file = onnxModel({
      inputs: [{ name: 'x', type: 'float', shape: [1, 8] }],
      outputs: [{ name: 'y', type: 'float', shape: [1, 8] }],
      nodes: [
        { op: 'MatMul', inputs: ['x', 'w'], outputs: ['m'] },
        { op: 'Resize', inputs: ['m', '', 'tiny'], outputs: ['y'] },
      ],
      weights: [
        { ...w, external: { path: 'w.bin', offset: 4096 } },
        { ...tiny, external: { path: 'w.bin', offset: 64 } },
      ],
    });
    const access = bytesAccess(file);
    const reads: unknown[] = [];
    const read = async (...args: [string, number, number]): Promise<Uint8Array> => {
      reads.push(args);
      return tiny.bytes;
    };
    const graph = await rewriteGraph(access, await planGraph(access), read, refusalOf('model'));
    const decoded = ModelProto.decode(graph).graph?.initializer ?? [];
    expect(reads).toEqual([['w.bin', 64, 8]]);
    expect(decoded).toHaveLength(1);
    expect(decoded[0]).toMatchObject({ name: 'tiny', dataType: 1 });
    expect([...(decoded[0]?.rawData ?? [])]).toEqual([...tiny.bytes]);
    expect(decoded[0]?.externalData).toEqual([]);
  });
});
