import { concat, field, varint } from '../fuzz/build.mjs';
import { xorshiftBytes } from './xorshift.js';

/** Element types of ONNX that the models of tests have. */
export type OnnxType = 'float' | 'float16' | 'double' | 'uint8' | 'int32' | 'int64';

const TYPE_NUMBERS: Readonly<Record<OnnxType, number>> = {
  float: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  float16: 10,
  double: 11,
};

export interface OnnxValue {
  readonly name: string;
  readonly type: OnnxType;
  /** A string is a dimension that is known only when the graph runs. */
  readonly shape: readonly (number | string)[];
}

export interface OnnxWeights {
  readonly name: string;
  readonly type: OnnxType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
  /** Lies at this offset of that file, and not in the graph; `byteLength` bytes of it, or as many as `bytes` has. */
  readonly external?: { readonly path: string; readonly offset: number; readonly byteLength?: number };
}

export type OnnxAttribute =
  | number
  | readonly number[]
  | string
  | { readonly float: number }
  | { readonly graph: Uint8Array };

export interface OnnxNode {
  readonly op: string;
  readonly domain?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
}

export interface OnnxGraph {
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly nodes: readonly OnnxNode[];
  readonly weights: readonly OnnxWeights[];
}

/** A ModelProto of ONNX 8, opset 17, with the operators of com.microsoft. */
export function onnxModel(graph: OnnxGraph): Uint8Array {
  const opset = (domain: string, version: number): Uint8Array =>
    field(8, concat(field(1, domain), field(2, version)));
  return concat(field(1, 8), opset('', 17), opset('com.microsoft', 1), field(7, onnxGraph(graph)));
}

/** A GraphProto, as the attributes of If and Loop hold it. */
export function onnxGraph({ inputs, outputs, nodes, weights }: OnnxGraph): Uint8Array {
  return concat(
    ...nodes.map((node) => field(1, nodeProto(node))),
    field(2, 'graph'),
    ...weights.map((tensor) => field(5, tensorProto(tensor))),
    ...inputs.map((value) => field(11, valueInfo(value))),
    ...outputs.map((value) => field(12, valueInfo(value))),
  );
}

/** Weights that look random and are the same every time: uniform, at most `scale` in magnitude. */
export function randomWeights(
  name: string,
  shape: readonly number[],
  seed: number,
  scale = 0.1,
): OnnxWeights {
  const words = new Uint32Array(xorshiftBytes(seed, 4 * product(shape)).buffer);
  const values = Float32Array.from(words, (word) => (word / 2 ** 31 - 1) * scale);
  return { name, type: 'float', shape, bytes: new Uint8Array(values.buffer) };
}

export function randomBytes(name: string, shape: readonly number[], seed: number): OnnxWeights {
  return { name, type: 'uint8', shape, bytes: xorshiftBytes(seed, product(shape)) };
}

export function floatWeights(name: string, shape: readonly number[], values: readonly number[]): OnnxWeights {
  return { name, type: 'float', shape, bytes: new Uint8Array(Float32Array.from(values).buffer) };
}

export function int64Weights(name: string, values: readonly number[]): OnnxWeights {
  const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  return { name, type: 'int64', shape: [values.length], bytes };
}

function product(shape: readonly number[]): number {
  return shape.reduce((elements, size) => elements * size, 1);
}

function nodeProto({ op, domain = '', inputs, outputs, attributes = {} }: OnnxNode): Uint8Array {
  return concat(
    ...inputs.map((name) => field(1, name)),
    ...outputs.map((name) => field(2, name)),
    field(3, `${op} of ${outputs[0]}`),
    field(4, op),
    ...Object.entries(attributes).map(([name, value]) => field(5, attributeProto(name, value))),
    field(7, domain),
  );
}

/** AttributeProto: name = 1, f = 2, i = 3, s = 4, g = 6, ints = 8, type = 20. */
function attributeProto(name: string, value: OnnxAttribute): Uint8Array {
  const typed = (type: number, ...parts: Uint8Array[]): Uint8Array =>
    concat(field(1, name), ...parts, field(20, type));
  if (typeof value === 'number') return typed(2, field(3, value));
  if (typeof value === 'string') return typed(3, field(4, value));
  if ('graph' in value) return typed(5, field(6, value.graph));
  if ('float' in value) {
    return typed(1, concat(varint(2 * 8 + 5), new Uint8Array(Float32Array.of(value.float).buffer)));
  }
  return typed(7, ...value.map((each) => field(8, each)));
}

function tensorProto({ name, type, shape, bytes, external }: OnnxWeights): Uint8Array {
  const head = concat(...shape.map((size) => field(1, size)), field(2, TYPE_NUMBERS[type]), field(8, name));
  if (external === undefined) return concat(head, field(9, bytes));
  const entry = (key: string, value: string): Uint8Array => field(13, concat(field(1, key), field(2, value)));
  return concat(
    head,
    entry('location', external.path),
    entry('offset', String(external.offset)),
    entry('length', String(external.byteLength ?? bytes.length)),
    field(14, 1),
  );
}

/**
 * ValueInfoProto: name = 1, type = 2; TypeProto.tensor_type = 1: elem_type = 1, shape = 2: dim = 1: dim_value = 1, dim_param
 * = 2.
 */
function valueInfo({ name, type, shape }: OnnxValue): Uint8Array {
  const dims = shape.map((size) => field(1, typeof size === 'number' ? field(1, size) : field(2, size)));
  const tensor = concat(field(1, TYPE_NUMBERS[type]), field(2, concat(...dims)));
  return concat(field(1, name), field(2, field(1, tensor)));
}
