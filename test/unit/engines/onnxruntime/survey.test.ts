import onnxProto from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { elementTypeOf, planGraph, rewriteGraph } from '../../../../src/engines/onnxruntime/graph/index.js';
import { bytesField, varint } from '../../../../src/engines/onnxruntime/graph/protobuf-writer.js';
import { bytesAccess } from '../../../../src/models/random-access.js';
import { refusalOf } from '../../../../src/models/refusal.js';
import { concat, varint as expectedVarint, field, onnxFile, onnxTensor } from '../../../fuzz/build.mjs';
import {
  floatWeights,
  type OnnxGraph,
  type OnnxNode,
  onnxGraph,
  onnxModel,
  randomBytes,
  randomWeights,
} from '../../../support/onnx-models.js';

const { ModelProto } = onnxProto.onnx;

/** A graph in which `w`, of 8 by 8 numbers, moves. */
function graph(nodes: readonly OnnxNode[] = [], weights: OnnxGraph['weights'] = []): OnnxGraph {
  return {
    inputs: [{ name: 'x', type: 'float', shape: [1, 8] }],
    outputs: [{ name: 'y', type: 'float', shape: [1, 8] }],
    nodes: [{ op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }, ...nodes],
    weights: [randomWeights('w', [8, 8], 1), ...weights],
  };
}

function plan(bytes: Uint8Array) {
  return planGraph(bytesAccess(bytes));
}

/** What becomes of a tensor: `moves`, or why not. */
async function fate(bytes: Uint8Array, name: string): Promise<string | undefined> {
  const { moving, staying } = await plan(bytes);
  if (moving.some((tensor) => tensor.name === name)) return 'moves';
  return staying.find((tensor) => tensor.name === name)?.detail;
}

/** What becomes of `v`, of 8 by 8 numbers, which one node reads as its second input. */
async function readBy(op: string, domain: string): Promise<string | undefined> {
  const node = { op, domain, inputs: ['x', 'v'], outputs: ['z'] };
  return await fate(onnxModel(graph([node], [randomWeights('v', [8, 8], 2)])), 'v');
}

describe('which weights move', () => {
  it('those that an operator of ONNX reads on the GPU, by either name of its domain, and of no other domain', async () => {
    const other = (name: string) =>
      `is read by ${name} as input 1, which is not known to be read from GPU memory`;
    expect(await readBy('MatMul', '')).toBe('moves');
    expect(await readBy('MatMul', 'ai.onnx')).toBe('moves');
    expect(await readBy('MatMul', 'com.microsoft')).toBe(other('com.microsoft.MatMul'));
    expect(await readBy('MatMulNBits', 'com.microsoft')).toBe('moves');
    expect(await readBy('MatMulNBits', '')).toBe(other('MatMulNBits'));
  });

  it('floats of 32 and 16 bits and bytes, whose numbers the graph has for them', async () => {
    const half = { name: 'h', type: 'float16', shape: [32], bytes: new Uint8Array(64) } as const;
    const double = { name: 'd', type: 'double', shape: [8], bytes: new Uint8Array(64) } as const;
    const add = (name: string): OnnxNode => ({ op: 'Add', inputs: ['y', name], outputs: [`${name}2`] });
    const file = onnxModel(graph([add('h'), add('b'), add('d')], [half, randomBytes('b', [64], 3), double]));
    const { moving, staying, movingBytes, stayingBytes } = await plan(file);
    expect(moving.map(({ name, dtype }) => [name, dtype, elementTypeOf(dtype)])).toEqual([
      ['w', 'FLOAT', 1],
      ['h', 'FLOAT16', 10],
      ['b', 'UINT8', 2],
    ]);
    expect(staying).toMatchObject([{ name: 'd', reason: 'type' }]);
    expect([movingBytes, stayingBytes]).toEqual([256 + 64 + 64, 64]);
    expect(() => elementTypeOf('DOUBLE')).toThrow('"dtype" is DOUBLE, which no tensor moves with');
  });

  it('not those that are stored as protobuf values', async () => {
    const values = concat(...Array.from({ length: 64 }, () => expectedVarint(200)));
    const tensor = onnxTensor({ name: 'v', type: 2, dims: [64], raw: null, fields: [field(5, values)] });
    const add = concat(field(1, 'x'), field(1, 'v'), field(2, 'z'), field(4, 'Add'));
    const mul = concat(field(1, 'x'), field(1, 'w'), field(2, 'y'), field(4, 'Mul'));
    const w = onnxTensor({ name: 'w', dims: [16], raw: 64 });
    const file = onnxFile({ initializers: [tensor, w], graph: [field(1, add), field(1, mul)] });
    expect(await fate(file, 'v')).toBe('is stored as protobuf values, not as raw bytes');
    expect(await fate(file, 'w')).toBe('moves');
  });

  it('not those that a graph inside a node gives out, or one in a list of graphs reads', async () => {
    const inner = (output: string, nodes: readonly OnnxNode[]): Uint8Array =>
      onnxGraph({
        inputs: [],
        outputs: [{ name: output, type: 'float', shape: [8, 8] }],
        nodes,
        weights: [],
      });
    const add: OnnxNode = { op: 'Add', inputs: ['r', 'r'], outputs: ['z'] };
    const attribute = concat(field(1, 'branches'), field(11, inner('z', [add])), field(20, 10));
    const nodes = (name: string): OnnxNode => ({ op: 'MatMul', inputs: ['x', name], outputs: [`${name}2`] });
    const outer = graph(
      [
        nodes('g'),
        nodes('r'),
        { op: 'If', inputs: ['x'], outputs: ['i'], attributes: { a: { graph: inner('g', []) } } },
      ],
      [randomWeights('g', [8, 8], 4), randomWeights('r', [8, 8], 5)],
    );
    const both = concat(
      onnxGraph(outer),
      field(1, concat(field(2, 'j'), field(4, 'Any'), field(5, attribute))),
    );
    const file = concat(field(1, 8), field(8, concat(field(1, ''), field(2, 17))), field(7, both));
    expect(await fate(file, 'g')).toBe('is read inside a node');
    expect(await fate(file, 'r')).toBe('is read inside a node');
    expect(await fate(file, 'w')).toBe('moves');
  });

  it('names the first of several readers that cannot', async () => {
    const read = (op: string): OnnxNode => ({ op, inputs: ['v'], outputs: [op] });
    const file = onnxModel(graph([read('Relu'), read('Tanh')], [randomWeights('v', [8, 8], 2)]));
    expect(await fate(file, 'v')).toContain('is read by Relu as input 0');
  });

  it('a node that only has the name of a weight as its output is no Constant', async () => {
    const file = onnxModel(graph([{ op: 'Identity', inputs: ['x'], outputs: ['w'] }]));
    const { layout } = await plan(file);
    expect([...layout.survey.constants.keys()]).toEqual([]);
    expect([...layout.survey.initializers.keys()]).toEqual(['w']);
  });
});

describe('a model that is refused', () => {
  const refused = (message: string) => expect.objectContaining({ code: 'INVALID_INPUT', message });

  it('has no weight that can move: the largest is named', async () => {
    const relu = (name: string): OnnxNode => ({ op: 'Relu', inputs: [name], outputs: [`${name}2`] });
    const weights = [randomWeights('a', [20], 1), randomWeights('b', [40], 2), randomWeights('c', [30], 3)];
    const file = onnxModel({ ...graph([]), nodes: ['a', 'b', 'c'].map(relu), weights });
    await expect(plan(file)).rejects.toEqual(
      refused(
        '"model" has no weights that can move into sealed memory; the largest, "b", is read by Relu as input 0, ' +
          'which is not known to be read from GPU memory',
      ),
    );
  });

  it('keeps a weight outside that is not an initializer of the main graph', async () => {
    const inner = onnxGraph({
      inputs: [],
      outputs: [{ name: 'z', type: 'float', shape: [8, 8] }],
      nodes: [{ op: 'Add', inputs: ['own', 'own'], outputs: ['z'] }],
      weights: [{ ...randomWeights('own', [8, 8], 2), external: { path: 'w.bin', offset: 0 } }],
    });
    const node: OnnxNode = {
      op: 'If',
      inputs: ['x'],
      outputs: ['i'],
      attributes: { branch: { graph: inner } },
    };
    await expect(plan(onnxModel(graph([node])))).rejects.toEqual(
      refused(
        '"model" keeps "i.branch/own" outside the file, though it is not an initializer of the main graph',
      ),
    );
  });

  it('has a node that reads more than 16,384 tensors', async () => {
    const sum = (count: number): Uint8Array =>
      onnxModel(graph([{ op: 'Sum', inputs: Array.from({ length: count }, () => 'w'), outputs: ['s'] }]));
    await expect(plan(sum(16_385))).rejects.toEqual(
      refused('"model" has a node that reads more than 16384 tensors'),
    );
    // That it reads as many is no fault; what it does with them is.
    await expect(plan(sum(16_384))).rejects.toThrow('has no weights that can move');
  });
});

describe('the graph without its weights', () => {
  it('has tensors from other files where they stood, in the order of the file', async () => {
    const tiny = (name: string) => floatWeights(name, [2], [1, 2]);
    const names = ['a', 'b', 'c'];
    const weights = names.map((name, index) => ({
      ...tiny(name),
      external: { path: 'f', offset: 8 * index },
    }));
    const resize = (name: string): OnnxNode => ({
      op: 'Resize',
      inputs: ['y', '', name],
      outputs: [`${name}2`],
    });
    const inner = graph(names.map(resize));
    const file = onnxModel({
      ...inner,
      weights: [...weights.slice(0, 1), ...inner.weights, ...weights.slice(1)],
    });
    const access = bytesAccess(file);
    const read = async (): Promise<Uint8Array> => tiny('a').bytes;
    const bytes = await rewriteGraph(access, await plan(file), read, refusalOf('model'));
    const { graph: after } = ModelProto.decode(bytes);
    expect(after?.initializer?.map(({ name }) => name)).toEqual(names);
    expect(after?.node?.map(({ opType }) => opType)).toEqual(['MatMul', 'Resize', 'Resize', 'Resize']);
  });
});

describe('what the writer writes', () => {
  it.each([0, 1, 127, 128, 129, 16_383, 16_384, 2 ** 31, 2 ** 32, 2 ** 53 - 1])('%d as a varint', (value) => {
    expect(varint(value)).toEqual(expectedVarint(value));
  });

  it('text as UTF-8, after its length in bytes', () => {
    expect(bytesField(1, 'é'.repeat(64))).toEqual(field(1, 'é'.repeat(64)));
  });
});
