import { safetensorsFile } from '../build.mjs';
import { attempt, checkTensors } from '../invariants.mjs';
import { damage, EDGES } from '../random.mjs';

export const name = 'safetensors';
export const modules = ['models/index.js', 'base/errors.js'];

const BITS = {
  F4: 4,
  BOOL: 8,
  U8: 8,
  F8_E4M3: 8,
  F16: 16,
  BF16: 16,
  I32: 32,
  F32: 32,
  I64: 64,
  F64: 64,
  C64: 64,
};
const ODD_VALUES = [
  'null',
  '-1',
  '-0',
  '1.0',
  '1e3',
  '00',
  '01',
  '{}',
  '[]',
  '""',
  '"F33"',
  '[0]',
  '[8,0]',
  'true',
  '"\\ud800"',
  '"\\u0000"',
];

function tensors(random) {
  const list = [];
  let offset = 0;
  for (let i = random.below(5); i > 0; i--) {
    const dtype = random.pick(Object.keys(BITS));
    const shape = Array.from({ length: random.below(4) }, () => random.below(5));
    if (dtype === 'F4') shape.push(2);
    const length = (shape.reduce((product, dimension) => product * dimension, 1) * BITS[dtype]) / 8;
    list.push({ name: `${random.word()}.${i}`, dtype, shape, offsets: [offset, offset + length] });
    offset += length;
  }
  return { list, dataLength: offset };
}

/** One change to what the header says. */
function lie(list, random) {
  if (list.length === 0) return;
  const tensor = random.pick(list);
  switch (random.below(7)) {
    case 0:
      tensor.offsets[random.below(2)] = Number(tensor.offsets[0]) + random.below(17) - 8;
      break;
    case 1:
      tensor.offsets[random.below(2)] = random.pick(EDGES);
      break;
    case 2:
      tensor.shape.push(random.pick(EDGES));
      break;
    case 3:
      tensor.dtype = random.pick([...Object.keys(BITS), 'f32', 'F128', '']);
      break;
    case 4:
      list.push({ ...tensor, name: random.chance(50) ? tensor.name : `${tensor.name}'` });
      break;
    case 5:
      tensor.raw = [random.pick(['dtype', 'shape', 'data_offsets', 'extra', '']), random.pick(ODD_VALUES)];
      break;
    default:
      list.splice(random.below(list.length), 1);
  }
}

function headerText({ list }, random) {
  const space = () => (random.chance(3) ? random.pick([' ', '\t', '\n', '  ']) : '');
  const members = list.map(({ name: key, dtype, shape, offsets, raw }) => {
    const fields = [
      `"dtype":"${dtype}"`,
      `"shape":[${shape.join(',')}]`,
      `"data_offsets":[${offsets.join(',')}]`,
    ];
    if (raw !== undefined) fields.push(`"${raw[0]}":${raw[1]}`);
    if (random.chance(5)) fields.reverse();
    return `${space()}${JSON.stringify(key)}:${space()}{${fields.join(`,${space()}`)}}`;
  });
  for (let i = random.pick([0, 0, 0, 0, 0, 0, 1, 1, 1, 2]); i > 0; i--) {
    const metadata = random.pick([
      '{}',
      '{"format":"pt"}',
      '{"a":"\\u0061","b":""}',
      '{"a":1}',
      '{"a":"","a":""}',
      '[]',
    ]);
    members.splice(random.below(members.length + 1), 0, `"__metadata__":${metadata}`);
  }
  return `{${members.join(',')}}${' '.repeat(random.below(4))}`;
}

export function create({ readSafetensors, bytesAccess, isVramError }) {
  return {
    make(random) {
      const model = tensors(random);
      const style = random.below(10);
      if (style >= 3 && model.list.length > 0)
        for (let i = random.below(3); i > 0; i--) lie(model.list, random);
      const text = headerText(model, random);
      const file = safetensorsFile(text, model.dataLength + (random.chance(5) ? random.below(9) : 0));
      return style >= 6 ? damage(file, random) : file;
    },

    async check(bytes) {
      const { value, refusal } = await attempt(() => readSafetensors(bytesAccess(bytes), 'x'), isVramError);
      const expected = naive(bytes);
      if (refusal !== undefined) {
        if (expected !== null) throw new Error(`refused a valid file: ${refusal}`);
        return refusal;
      }
      if (expected === null) throw new Error('accepted a file that the naive reading refuses');
      if (checkTensors(value, bytes.length) !== bytes.length && value.length > 0)
        throw new Error('bytes after the last tensor');
      const ours = value.map((tensor) => [
        tensor.name,
        tensor.dtype,
        tensor.shape,
        tensor.byteOffset,
        tensor.byteLength,
      ]);
      if (canonical(ours) !== canonical(expected))
        throw new Error(`${canonical(ours)} is not ${canonical(expected)}`);
      return 'accepted';
    },
  };
}

const canonical = (rows) => JSON.stringify(rows.map((row) => JSON.stringify(row)).sort());

const BIT_TABLE = new Map([
  ...Object.entries(BITS),
  ['F6_E2M3', 6],
  ['F6_E3M2', 6],
  ['I8', 8],
  ['F8_E5M2', 8],
  ['F8_E8M0', 8],
  ['F8_E5M2FNUZ', 8],
  ['F8_E4M3FNUZ', 8],
  ['I16', 16],
  ['U16', 16],
  ['U32', 32],
  ['U64', 64],
]);

/** The format's rules read plainly: JSON.parse, bigints, and a member count for duplicate keys. Null = not a valid file. */
function naive(bytes) {
  if (bytes.length < 8) return null;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > 100_000_000n || length > BigInt(bytes.length - 8)) return null;
  const header = bytes.subarray(8, 8 + Number(length));
  let text;
  let parsed;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header);
    parsed = JSON.parse(text);
  } catch {
    return null;
  }
  if (!text.startsWith('{') || !/\} *$/.test(text) || hasDuplicateKey(text)) return null;
  const rows = [];
  for (const [key, info] of Object.entries(parsed)) {
    if (key === '__metadata__') {
      if (info === null || typeof info !== 'object' || Array.isArray(info)) return null;
      if (Object.values(info).some((value) => typeof value !== 'string')) return null;
      if (Object.keys(info).some((word) => /\p{Surrogate}/u.test(word))) return null;
      continue;
    }
    if (info === null || typeof info !== 'object' || Array.isArray(info)) return null;
    if (Object.keys(info).sort().join() !== 'data_offsets,dtype,shape') return null;
    const { dtype, shape, data_offsets: offsets } = info;
    if (!BIT_TABLE.has(dtype) || !isCounts(shape) || !isCounts(offsets) || offsets.length !== 2) return null;
    if (shape.length > 16 || key === '' || /[\p{Cc}\u2028\u2029\p{Surrogate}]/u.test(key)) return null;
    const bits =
      shape.reduce((product, dimension) => product * BigInt(dimension), 1n) * BigInt(BIT_TABLE.get(dtype));
    if (bits !== BigInt(offsets[1] - offsets[0]) * 8n) return null;
    rows.push([key, dtype, shape, 8 + header.length + offsets[0], offsets[1] - offsets[0]]);
  }
  // Numbers are written as digits alone; JSON.parse does not say how they were written.
  if (/[-+.]|\d[eE]|\b0\d/.test(text.replace(/"(?:[^"\\]|\\.)*"/g, '""'))) return null;
  let end = 8 + header.length;
  for (const [, , , begin, size] of rows.sort((a, b) => a[3] - b[3] || a[4] - b[4])) {
    if (begin !== end) return null;
    end += size;
  }
  return end === bytes.length ? rows : null;
}

const isCounts = (value) =>
  Array.isArray(value) && value.every((number) => Number.isSafeInteger(number) && number >= 0);

/** Keys of every object of the text, found by a token scan that shares nothing with the reader. */
function hasDuplicateKey(text) {
  const stack = [];
  for (const [token, string] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}]/g)) {
    if (token === '{') stack.push(new Set());
    else if (token === '}') stack.pop();
    else if (string !== undefined) {
      const key = JSON.parse(string);
      const keys = stack.at(-1);
      if (keys.has(key)) return true;
      keys.add(key);
    }
  }
  return false;
}
