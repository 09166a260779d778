import { concat, ggufFile, ggufKey, ggufString, ggufTensor, u32, u64 } from '../build.mjs';
import { attempt, checkTensors } from '../invariants.mjs';
import { damage, EDGES } from '../random.mjs';

export const name = 'gguf';
export const modules = ['models/index.js', 'base/errors.js'];

/** number -> [elements of a block, bytes of a block] */
const TYPES = {
  0: [1, 4],
  1: [1, 2],
  2: [32, 18],
  8: [32, 34],
  12: [256, 144],
  24: [1, 1],
  27: [1, 8],
  30: [1, 2],
  39: [32, 17],
};
const FIXED = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };

function value(type, random, depth = 0) {
  if (type === 8) return ggufString(random.word(), random.chance(2) ? random.pick(EDGES) : undefined);
  if (type === 7) return Uint8Array.of(random.chance(95) ? random.below(2) : 2);
  if (type !== 9) return random.bytes(FIXED[type] ?? 4);
  const element = random.pick(depth < 3 ? [0, 4, 7, 8, 8, 9, 12] : [0, 4, 8]);
  const count = random.below(4);
  const elements = Array.from({ length: count }, () => value(element, random, depth + 1));
  return concat(u32(element), u64(random.chance(2) ? random.pick(EDGES) : count), ...elements);
}

function model(random, honest) {
  const lie = (truth) => (!honest && random.chance(3) ? random.pick(EDGES) : truth);
  const alignment = random.pick([8, 32, 64]);
  const keys = [ggufKey('general.alignment', 4, u32(Number(lie(alignment)) >>> 0))];
  for (let i = random.below(4); i > 0; i--) {
    const type =
      honest || random.chance(97)
        ? random.pick([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
        : random.below(20);
    keys.push(ggufKey(honest || random.chance(97) ? `k${i}` : 'k', type, value(type, random)));
  }
  let offset = 0;
  const tensors = [];
  for (let i = random.below(5); i > 0; i--) {
    const type = Number(random.pick(Object.keys(TYPES)));
    const [elements, bytes] = TYPES[type];
    const dims = Array.from({ length: 1 + random.below(3) }, () => random.below(4));
    dims[0] *= elements;
    const length = (dims.reduce((product, dimension) => product * dimension, 1) / elements) * bytes;
    const step = honest || random.chance(90) ? 0 : alignment * (random.below(5) - 2);
    tensors.push(
      ggufTensor({
        name: honest || random.chance(95) ? `${random.word()}.${i}` : 'a',
        dims: dims.map((dimension) => lie(dimension)),
        type: honest || random.chance(97) ? type : random.pick([random.below(45), 139, 156]),
        offset: lie(Math.max(0, offset + step)),
      }),
    );
    offset += Math.ceil(length / alignment) * alignment;
  }
  if (random.chance(20)) tensors.reverse();
  return ggufFile({
    version: random.pick([2, 3]),
    keys,
    tensors,
    tensorCount: lie(tensors.length),
    keyCount: lie(keys.length),
    data: Math.max(0, offset + (honest ? 0 : random.pick([0, 0, 0, -1, 1, -alignment]))),
    alignment,
  });
}

export function create({ readGguf, bytesAccess, isVramError }) {
  return {
    make(random) {
      const style = random.below(10);
      const file = model(random, style < 3 || style >= 7);
      // Values made at random may be no bools or strings that end late: only the reader can say.
      return style >= 7 ? damage(file, random) : file;
    },

    async check(bytes) {
      const { value: tensors, refusal } = await attempt(() => readGguf(bytesAccess(bytes), 'x'), isVramError);
      const expected = naive(bytes);
      if (refusal !== undefined) {
        if (expected !== null) throw new Error(`refused a valid file: ${refusal}`);
        return refusal;
      }
      if (expected === null) throw new Error('accepted a file that the naive reading refuses');
      checkTensors(tensors, bytes.length);
      const ours = tensors.map(
        (tensor) => `${tensor.name} ${tensor.shape} ${tensor.byteOffset} ${tensor.byteLength}`,
      );
      if (ours.sort().join('\n') !== expected.sort().join('\n'))
        throw new Error(`${ours} is not ${expected}`);
      return 'accepted';
    },
  };
}

const ALL_TYPES = new Map([
  ...Object.entries(TYPES).map(([type, sizes]) => [Number(type), sizes]),
  ...[
    [3, 32, 20],
    [6, 32, 22],
    [7, 32, 24],
    [9, 32, 36],
    [10, 256, 84],
    [11, 256, 110],
    [13, 256, 176],
    [14, 256, 210],
    [15, 256, 292],
  ].map(([type, elements, bytes]) => [type, [elements, bytes]]),
  ...[
    [16, 66],
    [17, 74],
    [18, 98],
    [19, 50],
    [21, 110],
    [22, 82],
    [23, 136],
    [29, 56],
    [34, 54],
    [35, 66],
  ].map(([type, bytes]) => [type, [256, bytes]]),
  ...[
    [20, 32, 18],
    [25, 1, 2],
    [26, 1, 4],
    [28, 1, 8],
    [40, 64, 36],
    [41, 128, 18],
    [42, 64, 18],
  ].map(([type, elements, bytes]) => [type, [elements, bytes]]),
]);

class Bad extends Error {}

/** The format read plainly over the whole file with bigints. Null = not a valid file. */
function naive(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const need = (condition) => {
    if (!condition) throw new Bad();
  };
  const number = (size) => {
    need(at + size <= bytes.length);
    const result = size === 4 ? view.getUint32(at, true) : view.getBigUint64(at, true);
    at += size;
    return result;
  };
  const count = () => {
    const result = number(8);
    need(result < 2n ** 53n);
    return Number(result);
  };
  const text = () => {
    const length = count();
    need(length <= bytes.length - at && length <= 1024 && length > 0);
    const slice = bytes.subarray(at, at + length);
    at += length;
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(slice);
  };
  const skip = (type, depth) => {
    if (type === 8) {
      const length = count();
      need(length <= bytes.length - at);
      at += length;
    } else if (type === 9) {
      need(depth < 8);
      const element = number(4);
      const length = count();
      need(element === 8 || element === 9 || element in FIXED);
      if (element in FIXED) {
        need(length * FIXED[element] <= bytes.length - at);
        at += length * FIXED[element];
      } else {
        need(length * 8 <= bytes.length - at);
        for (let i = 0; i < length; i++) skip(element, depth + 1);
      }
    } else {
      need(type in FIXED && at + FIXED[type] <= bytes.length);
      if (type === 7) need(bytes[at] <= 1);
      at += FIXED[type];
    }
  };
  try {
    need(number(4) === 0x46554747);
    need([2, 3].includes(number(4)));
    const tensorCount = count();
    const keyCount = count();
    need(tensorCount <= bytes.length && keyCount <= bytes.length);
    let alignment = 32;
    const keys = new Set();
    for (let i = 0; i < keyCount; i++) {
      const key = text();
      need(!keys.has(key));
      keys.add(key);
      const type = number(4);
      if (key === 'general.alignment') {
        need(type === 4);
        alignment = number(4);
        need(alignment >= 8 && alignment <= 2 ** 31 && Number.isInteger(Math.log2(alignment)));
      } else {
        skip(type, 0);
      }
    }
    const tensors = [];
    for (let i = 0; i < tensorCount; i++) {
      const tensorName = text();
      need(!/[\p{Cc}\u2028\u2029]/u.test(tensorName) && tensors.every((other) => other.name !== tensorName));
      const rank = number(4);
      need(rank <= 4);
      const dims = Array.from({ length: rank }, count);
      const typeNumber = number(4);
      const type = ALL_TYPES.get(typeNumber);
      const offset = count();
      need((dims[0] ?? 1) % (type?.[0] ?? 1) === 0 && offset % alignment === 0);
      let elements = 1n;
      for (const dimension of dims) {
        elements *= BigInt(dimension);
        need(elements < 2n ** 53n);
        if (elements === 0n) break;
      }
      const size =
        type === undefined
          ? BigInt(Math.sign(Number(elements)))
          : (elements / BigInt(type[0])) * BigInt(type[1]);
      need(size * 8n < 2n ** 53n);
      const unknown = type === undefined ? typeNumber : null;
      tensors.push({
        name: tensorName,
        dims,
        offset,
        size: Number(size),
        elements: Number(elements),
        unknown,
      });
    }
    const dataStart = Math.ceil(at / alignment) * alignment;
    let end = 0;
    const ordered = [...tensors].sort((a, b) => a.offset - b.offset || a.size - b.size);
    for (const [index, tensor] of ordered.entries()) {
      need(tensor.offset >= end);
      if (tensor.unknown !== null && tensor.elements > 0) {
        tensor.size = (ordered[index + 1]?.offset ?? bytes.length - dataStart) - tensor.offset;
        need(tensor.size > 0 && tensor.size < 8 * tensor.elements + alignment);
      }
      end = tensor.offset + tensor.size;
      need(dataStart + end <= bytes.length);
    }
    const last = ordered.at(-1);
    const alike = ordered.filter(
      (other) => other !== last && other.unknown === last?.unknown && other.dims[0] === last?.dims[0],
    );
    for (const other of typeof last?.unknown === 'number' ? alike : [])
      need(last.size * other.elements >= (other.size - alignment - 64) * last.elements);
    return tensors.map(
      (tensor) => `${tensor.name} ${tensor.dims} ${dataStart + tensor.offset} ${tensor.size}`,
    );
  } catch (error) {
    if (error instanceof Bad || error instanceof TypeError) return null;
    throw error;
  }
}
