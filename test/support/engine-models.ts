import {
  floatWeights,
  int64Weights,
  type OnnxGraph,
  type OnnxNode,
  type OnnxValue,
  type OnnxWeights,
  onnxModel,
  randomBytes,
  randomWeights,
} from './onnx-models.js';
import { xorshiftBytes } from './xorshift.js';

/** A model of one operator, with weights at every input that is given as one. */
export interface OperatorModel {
  readonly operator: string;
  /** Inputs of the operator that are weights. */
  readonly weightInputs: readonly number[];
  readonly model: Uint8Array;
  /** Inputs of the model. */
  readonly inputs: readonly OnnxValue[];
}

const value = (name: string, shape: readonly number[], type: OnnxValue['type'] = 'float'): OnnxValue => ({
  name,
  type,
  shape,
});

type Operand = OnnxValue | OnnxWeights;

function single(
  operator: string,
  operands: readonly Operand[],
  output: readonly number[],
  attributes: OnnxNode['attributes'] = {},
): OperatorModel {
  const [name, ...domain] = operator.split('.').reverse();
  const weights = operands.filter((operand) => 'bytes' in operand);
  const inputs = operands.filter((operand) => !('bytes' in operand));
  const node: OnnxNode = {
    op: name ?? operator,
    domain: domain.reverse().join('.'),
    inputs: operands.map((operand) => operand.name),
    outputs: ['y'],
    attributes,
  };
  return {
    operator,
    weightInputs: operands.flatMap((operand, index) => ('bytes' in operand ? [index] : [])),
    model: onnxModel({ inputs, outputs: [value('y', output)], nodes: [node], weights }),
    inputs,
  };
}

/** Every input that is known to be read from GPU memory, at work. */
export function operatorModels(): readonly OperatorModel[] {
  const w = (name: string, shape: readonly number[], seed: number, scale = 0.5): OnnxWeights =>
    randomWeights(name, shape, seed, scale);
  const image = value('x', [1, 16, 6, 6]);
  const rows = value('x', [4, 16]);
  const sequence = value('x', [1, 4, 32]);
  const positive = (name: string): OnnxWeights =>
    floatWeights(
      name,
      [16],
      Array.from({ length: 16 }, (_, i) => 0.5 + i / 16),
    );
  const binary = ['Add', 'Sub', 'Mul', 'Div'].flatMap((operator) => [
    single(operator, [rows, positive('w')], [4, 16]),
    single(operator, [positive('w'), rows], [4, 16]),
  ]);
  const quantized = quantizedWeights(1);
  return [
    ...binary,
    single(
      'BatchNormalization',
      [image, w('s', [16], 1), w('b', [16], 2), w('m', [16], 3), positive('v')],
      [1, 16, 6, 6],
    ),
    single('Conv', [image, w('w', [16, 16, 3, 3], 1), w('b', [16], 2)], [1, 16, 4, 4]),
    single('ConvTranspose', [image, w('w', [16, 16, 3, 3], 1), w('b', [16], 2)], [1, 16, 8, 8]),
    single('Gather', [w('w', [32, 16], 1), value('x', [4], 'int32')], [4, 16]),
    single('Gemm', [rows, w('w', [16, 16], 1), w('c', [16], 2)], [4, 16]),
    single('Gemm', [w('w', [4, 16], 1), value('x', [16, 16])], [4, 16]),
    single('InstanceNormalization', [image, w('s', [16], 1), w('b', [16], 2)], [1, 16, 6, 6]),
    single('LayerNormalization', [rows, w('s', [16], 1), w('b', [16], 2)], [4, 16]),
    single('MatMul', [rows, w('w', [16, 16], 1)], [4, 16]),
    single('MatMul', [w('w', [4, 16], 1), value('x', [16, 16])], [4, 16]),
    single('SimplifiedLayerNormalization', [rows, w('s', [16], 1)], [4, 16]),
    single('com.microsoft.FusedConv', [image, w('w', [16, 16, 3, 3], 1), w('b', [16], 2)], [1, 16, 4, 4], {
      activation: 'Relu',
    }),
    single('com.microsoft.MatMulNBits', [value('x', [4, 128]), ...quantized], [4, 32], QUANTIZED),
    single(
      'com.microsoft.RotaryEmbedding',
      [sequence, value('p', [1, 4], 'int64'), w('cos', [8, 16], 1), w('sin', [8, 16], 2)],
      [1, 4, 32],
    ),
    single(
      'com.microsoft.SkipLayerNormalization',
      [sequence, value('skip', [1, 4, 32]), w('g', [32], 1), w('b', [32], 2), w('bias', [32], 3)],
      [1, 4, 32],
    ),
    single(
      'com.microsoft.SkipSimplifiedLayerNormalization',
      [sequence, value('skip', [1, 4, 32]), w('g', [32], 1), w('bias', [32], 2)],
      [1, 4, 32],
    ),
  ];
}

const QUANTIZED = { K: 128, N: 32, bits: 4, block_size: 32 } as const;

/** 4-bit weights of 128 columns and 32 rows in blocks of 32: nibbles, scales, zero points. */
function quantizedWeights(seed: number, prefix = ''): readonly [OnnxWeights, OnnxWeights, OnnxWeights] {
  return [
    randomBytes(`${prefix}nibbles`, [32, 4, 16], seed),
    randomWeights(`${prefix}scales`, [128], seed + 1, 0.05),
    randomBytes(`${prefix}zeros`, [64], seed + 2),
  ];
}

/**
 * Two layers of 4-bit weights with a normalisation before and an activation between: the shape of a quantised model's block.
 */
export function quantizedBlock(): Uint8Array {
  const first = quantizedWeights(11, 'a.');
  const second = quantizedWeights(21, 'b.');
  const widen = randomWeights('widen', [32, 128], 31, 0.3);
  return onnxModel({
    inputs: [value('x', [4, 128])],
    outputs: [value('y', [4, 32])],
    nodes: [
      { op: 'LayerNormalization', inputs: ['x', 'scale', 'shift'], outputs: ['n'] },
      {
        op: 'MatMulNBits',
        domain: 'com.microsoft',
        inputs: ['n', ...first.map(({ name }) => name)],
        outputs: ['a'],
        attributes: QUANTIZED,
      },
      { op: 'Sigmoid', inputs: ['a'], outputs: ['s'] },
      { op: 'Mul', inputs: ['a', 's'], outputs: ['silu'] },
      { op: 'MatMul', inputs: ['silu', 'widen'], outputs: ['wide'] },
      {
        op: 'MatMulNBits',
        domain: 'com.microsoft',
        inputs: ['wide', ...second.map(({ name }) => name)],
        outputs: ['y'],
        attributes: QUANTIZED,
      },
    ],
    weights: [
      randomWeights('scale', [128], 1, 1),
      randomWeights('shift', [128], 2, 0.1),
      ...first,
      ...second,
      widen,
    ],
  });
}

/** y = x w + b in half precision: x and y are float16, [4, 128] and [4, 64]. */
export function halfModel(): Uint8Array {
  return onnxModel({
    inputs: [value('x', [4, 128], 'float16')],
    outputs: [value('y', [4, 64], 'float16')],
    nodes: [
      { op: 'MatMul', inputs: ['x', 'w'], outputs: ['m'] },
      { op: 'Add', inputs: ['m', 'b'], outputs: ['y'] },
    ],
    weights: [
      { name: 'w', type: 'float16', shape: [128, 64], bytes: halfBytes(128 * 64, 41) },
      { name: 'b', type: 'float16', shape: [64], bytes: halfBytes(64, 42) },
    ],
  });
}

/** Numbers of half precision that look random, each of a magnitude from 1/16 to below 1. */
export function halfBytes(length: number, seed: number): Uint8Array {
  const words = new Uint16Array(xorshiftBytes(seed, 2 * length).buffer);
  // Of 16 bits: the sign and 10 bits of fraction as they come, and an exponent from 11 to 14, which stand for 2^-4 to 2^-1.
  const halves = words.map((word) => (word & 0x83ff) | ((11 + ((word >> 10) & 3)) << 10));
  return new Uint8Array(halves.buffer);
}

/** What a normal number of half precision stands for; zero for what is smaller. */
export function halfToNumber(bits: number): number {
  const exponent = (bits >> 10) & 0x1f;
  if (exponent === 0) return 0;
  const magnitude = exponent === 0x1f ? Number.NaN : (1 + (bits & 0x3ff) / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -magnitude : magnitude;
}

/** Sizes of the decoder below. */
export const DECODER = { vocabulary: 96, width: 32, heads: 2, layers: 2, positions: 64 } as const;

/**
 * A decoder-only transformer with a key-value cache, one token a step. Inputs: `token` and `position` (int32 [1, 1]), and
 * for each layer `past.N.key` and `past.N.value` (float [1, heads, length, width / heads]); outputs: `logits`, and
 * `present.N.key` and `.value`.
 */
export function decoder(): Uint8Array {
  const { vocabulary, width, heads, layers, positions } = DECODER;
  const head = width / heads;
  const nodes: OnnxNode[] = [];
  const weights: OnnxWeights[] = [
    randomWeights('embedding', [vocabulary, width], 101, 1),
    randomWeights('positions', [positions, width], 102, 0.5),
    int64Weights('split', [1, 1, heads, head]),
    int64Weights('join', [1, 1, width]),
    floatWeights('scale', [1], [1 / Math.sqrt(head)]),
  ];
  const cache = (kind: 'past' | 'present', length: string): OnnxValue[] =>
    Array.from({ length: layers }, (_, layer) =>
      ['key', 'value'].map((part) => ({
        name: `${kind}.${layer}.${part}`,
        type: 'float' as const,
        shape: [1, heads, length, head],
      })),
    ).flat();
  const add = (
    op: string,
    inputs: string[],
    output: string,
    attributes: OnnxNode['attributes'] = {},
  ): string => {
    nodes.push({ op, inputs, outputs: [output], attributes });
    return output;
  };
  const weight = (name: string, shape: readonly number[], seed: number, scale: number): string => {
    weights.push(randomWeights(name, shape, seed, scale));
    return name;
  };
  const norm = (input: string, name: string, seed: number): string => {
    const scale = weight(`${name}.scale`, [width], seed, 1);
    return add(
      'LayerNormalization',
      [input, scale, weight(`${name}.shift`, [width], seed + 1, 0.2)],
      `${name}.out`,
    );
  };
  const linear = (input: string, name: string, shape: readonly [number, number], seed: number): string =>
    add('MatMul', [input, weight(name, shape, seed, 0.35)], `${name}.out`);
  const attention = (input: string, layer: number, seed: number): string => {
    const name = `layer.${layer}`;
    const project = (part: string, offset: number): string => {
      const flat = linear(input, `${name}.${part}`, [width, width], seed + offset);
      const parts = add('Reshape', [flat, 'split'], `${name}.${part}.parts`);
      return add('Transpose', [parts], `${name}.${part}.heads`, { perm: [0, 2, 1, 3] });
    };
    const [query, key, val] = [project('query', 0), project('key', 1), project('value', 2)];
    const keys = add('Concat', [`past.${layer}.key`, key], `present.${layer}.key`, { axis: 2 });
    const values = add('Concat', [`past.${layer}.value`, val], `present.${layer}.value`, { axis: 2 });
    const turned = add('Transpose', [keys], `${name}.turned`, { perm: [0, 1, 3, 2] });
    const scores = add('Mul', [add('MatMul', [query, turned], `${name}.raw`), 'scale'], `${name}.scores`);
    const shares = add('Softmax', [scores], `${name}.shares`, { axis: 3 });
    const mixed = add('Transpose', [add('MatMul', [shares, values], `${name}.mix`)], `${name}.mixed`, {
      perm: [0, 2, 1, 3],
    });
    return linear(
      add('Reshape', [mixed, 'join'], `${name}.joined`),
      `${name}.output`,
      [width, width],
      seed + 3,
    );
  };
  let state = add(
    'Add',
    [
      add('Gather', ['embedding', 'token'], 'token.row'),
      add('Gather', ['positions', 'position'], 'position.row'),
    ],
    'state',
  );
  for (let layer = 0; layer < layers; layer++) {
    const seed = 1000 * (layer + 1);
    const name = `layer.${layer}`;
    const mixed = attention(norm(state, `${name}.first`, seed), layer, seed + 10);
    const middle = add('Add', [state, mixed], `${name}.middle`);
    const wide = linear(
      norm(middle, `${name}.second`, seed + 20),
      `${name}.up`,
      [width, 4 * width],
      seed + 30,
    );
    const active = add('Mul', [wide, add('Sigmoid', [wide], `${name}.gate`)], `${name}.active`);
    const narrow = linear(active, `${name}.down`, [4 * width, width], seed + 40);
    state = add('Add', [middle, narrow], `${name}.state`);
  }
  const logits = linear(norm(state, 'last', 9000), 'head', [width, vocabulary], 9010);
  add('Identity', [logits], 'logits');
  const graph: OnnxGraph = {
    inputs: [value('token', [1, 1], 'int32'), value('position', [1, 1], 'int32'), ...cache('past', 'before')],
    outputs: [value('logits', [1, 1, vocabulary]), ...cache('present', 'after')],
    nodes,
    weights,
  };
  return onnxModel(graph);
}
