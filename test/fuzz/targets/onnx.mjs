import { createRequire } from 'node:module';
import { concat, varint } from '../build.mjs';
import { attempt, checkTensors } from '../invariants.mjs';
import { damage, EDGES } from '../random.mjs';

export const name = 'onnx';
export const modules = ['models/index.js', 'base/errors.js'];

const { onnx } = createRequire(import.meta.url)('onnx-proto');

/**
 * A message is a list of fields [number, value]: a number or bigint is a varint, a list a message, text or bytes themselves.
 */
const BITS = { 1: 32, 2: 8, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 16: 16, 22: 4 };

function tensor(random, tensorName) {
  const type = random.chance(5) ? 8 : Number(random.pick(Object.keys(BITS)));
  const dims = Array.from({ length: random.below(3) }, () => random.below(4));
  const elements = dims.reduce((product, dimension) => product * dimension, 1);
  const fields = [...dims.map((dimension) => [1, dimension]), [2, type]];
  if (tensorName !== null) fields.push([8, tensorName]);
  if (type === 8) for (let i = 0; i < elements; i++) fields.push([6, random.word()]);
  else if (type === 7 && random.chance(40))
    fields.push([7, concat(...Array.from({ length: elements }, () => varint(random.pick(EDGES))))]);
  else if (type === 1 && random.chance(30)) fields.push([4, random.bytes(4 * elements)]);
  else if (random.chance(15)) {
    fields.push(
      [
        13,
        [
          [1, 'location'],
          [2, random.pick(['w.bin', './a/b.bin', '../w.bin', '/w.bin', 'a//b', ''])],
        ],
      ],
      [14, 1],
    );
    if (random.chance(50))
      fields.push([
        13,
        [
          [1, 'offset'],
          [2, String(random.pick(EDGES))],
        ],
      ]);
  } else fields.push([9, random.bytes(Math.ceil((elements * BITS[type]) / 8))]);
  return fields;
}

function graph(random, depth) {
  const fields = [];
  for (let i = random.below(3); i > 0; i--)
    fields.push([5, tensor(random, `${random.word()}.${depth}.${i}`)]);
  for (let i = random.below(3); i > 0; i--) {
    const attribute = [[1, random.pick(['value', 'body', 'x'])]];
    const kind = random.below(5);
    if (kind === 0 && depth < 3) attribute.push([6, graph(random, depth + 1)]);
    else if (kind === 1) attribute.push([10, tensor(random, null)], [10, tensor(random, 'n')]);
    else if (kind === 2) attribute.push([3, random.below(100)]);
    else attribute.push([5, tensor(random, random.chance(50) ? 'inner' : null)]);
    fields.push([
      1,
      [
        [1, 'in'],
        [2, `out.${depth}.${i}`],
        [4, 'Constant'],
        [5, attribute],
      ],
    ]);
  }
  if (random.chance(5))
    fields.push([
      15,
      [
        [1, tensor(random, 'sparse')],
        [2, tensor(random, null)],
      ],
    ]);
  return fields;
}

const model = (random) => [
  [1, 8],
  [2, 'fuzz'],
  [7, graph(random, 0)],
  [
    8,
    [
      [1, ''],
      [2, 17],
    ],
  ],
];

/** One change somewhere in the tree of messages. */
function lie(message, random) {
  if (message.length === 0) return;
  const at = random.below(message.length);
  const [number, value] = message[at];
  if (Array.isArray(value) && random.chance(75)) return lie(value, random);
  switch (random.below(7)) {
    case 0:
      message.splice(at, 1);
      break;
    case 1:
      message.push([number, value]);
      break;
    case 2:
      message[at] = [random.below(30), value];
      break;
    case 3:
      message[at] = [number, random.pick(EDGES)];
      break;
    case 4:
      message[at] = [number, random.bytes(random.below(20))];
      break;
    case 5:
      message[at] = [number, value, random.pick(EDGES)];
      break;
    default:
      message.reverse();
  }
}

function serialise(message) {
  return concat(
    ...message.map(([number, value, length]) => {
      if (typeof value === 'number' || typeof value === 'bigint')
        return concat(varint(number * 8), varint(value));
      const bytes = Array.isArray(value) ? serialise(value) : concat(value);
      return concat(varint(number * 8 + 2), varint(length ?? bytes.length), bytes);
    }),
  );
}

export function create({ readOnnx, bytesAccess, isVramError }) {
  return {
    make(random) {
      const message = model(random);
      const style = random.below(10);
      if (style >= 3) for (let i = random.below(3); i > 0; i--) lie(message, random);
      const file = serialise(message);
      return style >= 7 ? damage(file, random) : file;
    },

    async check(bytes) {
      const { value, refusal } = await attempt(() => readOnnx(bytesAccess(bytes), 'x'), isVramError);
      if (refusal !== undefined) return refusal;
      checkTensors(value.tensors, bytes.length);
      const outside = value.external.map(({ tensor: entry }) => entry);
      checkTensors(
        outside.sort((a, b) => a.byteOffset - b.byteOffset),
        Number.MAX_VALUE,
        { mayShare: true },
      );
      for (const { path } of value.external) {
        if (/^$|^\/|\\|(^|\/)(\.\.?)?(\/|$)/.test(path)) throw new Error(`external path ${path}`);
      }
      const ours = new Map([...value.tensors, ...outside].map((entry) => [entry.name, entry]));
      for (const entry of value.tensors) checkSize(entry);
      const form = formOf(bytes, 'Model');
      if (form === 'broken') throw new Error('accepted a file with a field that runs over its message');
      const theirs = form === 'plain' ? oracle(bytes) : null;
      if (theirs === null) return 'accepted';
      if ([...ours.keys()].sort().join('\n') !== [...theirs.keys()].sort().join('\n')) {
        throw new Error(`${[...ours.keys()]} is not ${[...theirs.keys()]}`);
      }
      for (const [tensorName, entry] of ours) compare(bytes, entry, theirs.get(tensorName));
      return 'accepted';
    },
  };
}

const SIZES = {
  FLOAT: 32,
  UINT8: 8,
  INT32: 32,
  INT64: 64,
  BOOL: 8,
  FLOAT16: 16,
  DOUBLE: 64,
  BFLOAT16: 16,
  INT4: 4,
};

function checkSize({ name: tensorName, dtype, shape, byteLength, encoding }) {
  if (encoding !== 'raw' || SIZES[dtype] === undefined) return;
  const elements = shape.reduce((product, dimension) => product * dimension, 1);
  const expected = Math.ceil((elements * SIZES[dtype]) / 8);
  if (byteLength !== expected) throw new Error(`${tensorName}: ${byteLength} bytes for ${expected}`);
}

function compare(bytes, entry, their) {
  const dims = their.dims.map(Number);
  if (dims.join() !== entry.shape.join())
    throw new Error(`${entry.name}: shape ${entry.shape} is not ${dims}`);
  if (entry.encoding !== 'raw' || their.dataLocation === 1) return;
  const range = bytes.subarray(entry.byteOffset, entry.byteOffset + entry.byteLength);
  let expected = their.rawData;
  if (their.floatData.length > 0) expected = new Uint8Array(Float32Array.from(their.floatData).buffer);
  if (their.doubleData.length > 0) expected = new Uint8Array(Float64Array.from(their.doubleData).buffer);
  // A signalling NaN may come back quiet from a JavaScript number: compare such lists by length.
  const same =
    their.rawData.length > 0 ? Buffer.compare(range, expected) === 0 : range.length === expected.length;
  if (!same) throw new Error(`${entry.name}: other bytes`);
}

/**
 * Tensors as onnx-proto decodes them, under our names. Null = onnx-proto refuses the file or reads fields the walk does not
 * know.
 */
function oracle(bytes) {
  let decoded;
  try {
    decoded = onnx.ModelProto.decode(bytes);
  } catch {
    return null;
  }
  let complete = decoded.trainingInfo.length === 0;
  let unnamed = 0;
  // Names inside a graph are known before those of the node that it belongs to: unnamed nodes are counted as they end.
  const inGraph = (body) => [
    ...body.initializer.map((entry) => [entry.name, entry]),
    ...body.sparseInitializer.flatMap(({ values, indices }) => [
      ...(values ? [[values.name, values]] : []),
      ...(indices ? [[`${values?.name ?? ''}.indices`, indices]] : []),
    ]),
    ...body.node.flatMap(inNode),
  ];
  const inNode = (node) => {
    const inside = node.attribute.flatMap((attribute) => {
      if (attribute.sparseTensor || attribute.sparseTensors?.length > 0) complete = false;
      const place = `.${attribute.name}`;
      const under = (at, graph) => inGraph(graph).map(([rest, entry]) => [`${at}/${rest}`, entry]);
      return [
        ...(attribute.t ? [[attribute.name === 'value' ? '' : place, attribute.t]] : []),
        ...attribute.tensors.map((entry, i) => [`${place}.${i}`, entry]),
        ...(attribute.g ? under(place, attribute.g) : []),
        ...attribute.graphs.flatMap((inner, i) => under(`${place}.${i}`, inner)),
      ];
    });
    if (inside.length === 0) return [];
    const output = node.output.find((each) => each !== '') || node.name || `node.${unnamed++}`;
    return inside.map(([rest, entry]) => [output + rest, entry]);
  };
  const found = new Map(decoded.graph ? inGraph(decoded.graph) : []);
  return complete ? found : null;
}

/**
 * Wire types of the fields that onnx-proto reads: v(arint), b(ytes), 4 (fixed32), 8 (fixed64), the same behind p (packed or
 * alone), or a message; null = a message that is not looked into here. protobufjs checks neither wire types nor the ends of
 * messages and packed lists, so it is an oracle only where these are right.
 */
const SCHEMA = {
  Model: {
    1: 'v',
    2: 'b',
    3: 'b',
    4: 'b',
    5: 'v',
    6: 'b',
    7: 'Graph',
    8: 'OpSet',
    14: 'Pair',
    20: null,
    25: null,
  },
  Graph: { 1: 'Node', 2: 'b', 5: 'Tensor', 10: 'b', 11: null, 12: null, 13: null, 14: null, 15: 'Sparse' },
  Node: { 1: 'b', 2: 'b', 3: 'b', 4: 'b', 5: 'Attribute', 6: 'b', 7: 'b' },
  Attribute: {
    1: 'b',
    2: '4',
    3: 'v',
    4: 'b',
    5: 'Tensor',
    6: 'Graph',
    7: 'p4',
    8: 'pv',
    9: 'b',
    10: 'Tensor',
    11: 'Graph',
    13: 'b',
    14: null,
    15: null,
    20: 'v',
    21: 'b',
    22: 'Sparse',
    23: 'Sparse',
  },
  Tensor: {
    1: 'pv',
    2: 'v',
    3: null,
    4: 'p4',
    5: 'pv',
    6: 'b',
    7: 'pv',
    8: 'b',
    9: 'b',
    10: 'p8',
    11: 'pv',
    12: 'b',
    13: 'Pair',
    14: 'v',
  },
  Sparse: { 1: 'Tensor', 2: 'Tensor', 3: 'pv' },
  OpSet: { 1: 'b', 2: 'v' },
  Pair: { 1: 'b', 2: 'b' },
};

/** The wire type of a lone element, and whether the bytes of a packed list end with an element. */
const PACKED = {
  pv: { wire: 0, whole: (bytes) => (bytes.at(-1) ?? 0) < 128 },
  p4: { wire: 5, whole: (bytes) => bytes.length % 4 === 0 },
  p8: { wire: 1, whole: (bytes) => bytes.length % 8 === 0 },
};

/** Messages that the reader walks through; it passes over the others whatever is in them. */
const WALKED = new Set(['Model', 'Graph', 'Node', 'Attribute', 'Tensor', 'Sparse']);

/** `plain`: an oracle's. `odd`: no oracle's, but the reader may take it. `broken`: the reader must refuse it. */
function formOf(bytes, type) {
  const broken = WALKED.has(type) ? 'broken' : 'odd';
  let form = 'plain';
  let at = 0;
  const read = () => {
    let value = 0n;
    for (let shift = 0n; shift < 70n && at < bytes.length; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
    return -1n;
  };
  while (at < bytes.length) {
    const tag = read();
    const wire = Number(tag & 7n);
    const kind = SCHEMA[type][Number(tag >> 3n)];
    const length = wire === 0 ? read() : wire === 1 ? 8n : wire === 5 ? 4n : wire === 2 ? read() : -1n;
    if (tag < 0n || length < 0n) return broken;
    const value = wire === 0 ? new Uint8Array(0) : bytes.subarray(at, at + Number(length));
    if (wire !== 0) {
      if (BigInt(value.length) !== length) return broken;
      at += value.length;
    }
    if (kind === null) form = 'odd';
    if (kind === undefined || kind === null) continue;
    if (kind in PACKED) {
      if (wire === 2 ? !PACKED[kind].whole(value) : wire !== PACKED[kind].wire) form = 'odd';
      continue;
    }
    if (kind === 'v' ? wire !== 0 : kind === '4' ? wire !== 5 : wire !== 2) form = 'odd';
    else if (kind in SCHEMA) {
      const inner = formOf(value, kind);
      if (inner === 'broken') return 'broken';
      if (inner === 'odd') form = 'odd';
    }
  }
  return form;
}
