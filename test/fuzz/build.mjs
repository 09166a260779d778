// Writers for model files, valid or not: whatever they are told, they write.

const encoder = new TextEncoder();
const utf8 = (text) => (typeof text === 'string' ? encoder.encode(text) : text);

export const concat = (...parts) => join(parts);

export function join(parts) {
  const bytes = parts.map((part) => (typeof part === 'number' ? Uint8Array.of(part) : utf8(part)));
  const whole = new Uint8Array(bytes.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of bytes) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function u32(value) {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** A number, or a bigint for values beyond 2^53. */
export function u64(value) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value) & 0xffff_ffff_ffff_ffffn, true);
  return bytes;
}

/** safetensors: `header` is text, bytes or a value to write as JSON; `data` a length or bytes. */
export function safetensorsFile(header, data = 0, headerLength = undefined) {
  const bytes =
    typeof header === 'string' || header instanceof Uint8Array ? utf8(header) : utf8(JSON.stringify(header));
  return concat(
    u64(headerLength ?? bytes.length),
    bytes,
    typeof data === 'number' ? new Uint8Array(data) : data,
  );
}

/** GGUF string; `length` lies about it. */
export const ggufString = (text, length = undefined) => concat(u64(length ?? utf8(text).length), text);

/** One key of GGUF metadata; `value` is bytes. */
export const ggufKey = (key, type, value) => concat(ggufString(key), u32(type), value);

/** One tensor entry of GGUF. */
export function ggufTensor({ name = 'a', dims = [8], type = 0, offset = 0, rank = dims.length } = {}) {
  return concat(ggufString(name), u32(rank), ...dims.map(u64), u32(type), u64(offset));
}

/** GGUF, padded to the alignment after its header; `tensors` and `keys` are bytes. */
export function ggufFile({
  magic = 'GGUF',
  version = 3,
  tensors = [ggufTensor()],
  keys = [],
  tensorCount = tensors.length,
  keyCount = keys.length,
  data = 32,
  alignment = 32,
} = {}) {
  const header = join([concat(magic, u32(version), u64(tensorCount), u64(keyCount)), ...keys, ...tensors]);
  const padding = (alignment - (header.length % alignment)) % alignment;
  return concat(header, new Uint8Array(padding), typeof data === 'number' ? new Uint8Array(data) : data);
}

/** Base-128 varint of a number or bigint; negative ones as 64-bit two's complement. */
export function varint(value) {
  const bytes = [];
  let rest = BigInt(value) & 0xffff_ffff_ffff_ffffn;
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return Uint8Array.from(bytes);
}

/** Protobuf field of a number (varint), text or bytes (length-delimited). */
export function field(number, value, length = undefined) {
  if (typeof value === 'number' || typeof value === 'bigint')
    return concat(varint(number * 8), varint(value));
  const bytes = utf8(value);
  return concat(varint(number * 8 + 2), varint(length ?? bytes.length), bytes);
}

/** TensorProto. `fields` are appended as they are. */
export function onnxTensor({ name = 'w', type = 1, dims = [2], raw = 8, fields = [] } = {}) {
  return concat(
    ...dims.map((dim) => field(1, dim)),
    ...(type === null ? [] : [field(2, type)]),
    ...(name === null ? [] : [field(8, name)]),
    ...(raw === null ? [] : [field(9, typeof raw === 'number' ? new Uint8Array(raw) : raw)]),
    ...fields,
  );
}

/** external_data entries and the data_location that goes with them. */
export function onnxExternal(entries) {
  const pairs = Object.entries(entries).map(([key, value]) =>
    field(13, concat(field(1, key), field(2, value))),
  );
  return [...pairs, field(14, 1)];
}

/** A node with one attribute. */
export const onnxNode = (output, attribute) => field(1, concat(field(2, output), field(5, attribute)));

/** ModelProto with initializers and other fields of the graph, given as bytes. */
export function onnxFile({
  initializers = [onnxTensor()],
  graph = [],
  fields = [],
  version = [field(1, 8)],
} = {}) {
  const initializer = initializers.map((bytes) => field(5, bytes));
  return concat(...version, field(7, join([field(2, 'g'), ...initializer, ...graph])), ...fields);
}
