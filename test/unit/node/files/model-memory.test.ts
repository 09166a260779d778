import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  concat,
  field,
  ggufFile,
  ggufKey,
  ggufString,
  ggufTensor,
  join as joinBytes,
  onnxTensor,
  safetensorsFile,
  u32,
  u64,
} from '../../../fuzz/build.mjs';

const MIB = 1024 * 1024;
const root = fileURLToPath(new URL('../../../../', import.meta.url));
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'memory-'));
  buildSync({
    stdin: {
      contents:
        "export { openModel } from './src/node/files/model-files.ts'; export { isVramError } from './src/base/errors.ts';",
      resolveDir: root,
    },
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: join(folder, 'bundle.mjs'),
    logLevel: 'error',
  });
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Result {
  readonly outcome: string;
  readonly growth: number;
}

/** Opens the file in a process of its own. `warmUp` is a small valid file of the same format. */
function read(name: string, warmUp: Uint8Array): Result {
  const first = join(folder, `warm-${name}`);
  writeFileSync(first, warmUp);
  const script = join(root, 'test/fuzz/peak-memory.mjs');
  const output = execFileSync(
    process.execPath,
    [script, join(folder, 'bundle.mjs'), first, join(folder, name)],
    {
      encoding: 'utf8',
    },
  );
  return JSON.parse(output);
}

function put(name: string, bytes: Uint8Array, byteLength: number = bytes.length): void {
  const file = openSync(join(folder, name), 'w');
  writeSync(file, bytes);
  ftruncateSync(file, byteLength);
  closeSync(file);
}

/** ASCII text of `length` bytes made of pieces, spaces at its end. */
function fill(length: number, start: string, piece: (i: number) => string, end: string): Uint8Array {
  const pieces = [start];
  let at = start.length + end.length;
  for (let i = 0; ; i++) {
    const next = piece(i);
    at += next.length;
    if (at > length) break;
    pieces.push(next);
  }
  return Buffer.from(`${pieces.join('')}${end}`.padEnd(length), 'latin1');
}

/** Beyond the header. */
const MARGIN = 128 * MIB;
const HEADER = 100_000_000;
const smallSafetensors = safetensorsFile({ a: { dtype: 'U8', shape: [1], data_offsets: [0, 1] } }, 1);
const smallIndex = new TextEncoder().encode('{"weight_map":{"a":"warm-tensors.safetensors"}}');
const smallOnnx = concat(field(1, 8), field(7, field(5, onnxTensor())));
const longName = (i: number): string => `${i}.`.padEnd(120, 'n');

describe('peak memory of hostile model files: the header and 128 MiB at most', () => {
  it('a safetensors header of 100 MB of tensors', () => {
    const text = fill(
      HEADER,
      '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}',
      (i) => `,"${i}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`,
      '}',
    );
    put('tensors.safetensors', safetensorsFile(text));
    const { outcome, growth } = read('tensors.safetensors', smallSafetensors);
    expect(outcome).toBe('"tensors.safetensors" has more than 131072 tensors');
    expect(growth).toBeLessThan(HEADER + MARGIN);
  });

  it('a safetensors header of 100 MB of metadata in one string', () => {
    const text = fill(HEADER, '{"__metadata__":{"a":"', () => '\\u0061\\n'.repeat(1000), '"}}');
    put('metadata.safetensors', safetensorsFile(text));
    const { outcome, growth } = read('metadata.safetensors', smallSafetensors);
    expect(outcome).toBe('0 tensors');
    expect(growth).toBeLessThan(HEADER + MARGIN);
  });

  it('a safetensors header of 100 MB in one key', () => {
    put('key.safetensors', safetensorsFile(fill(HEADER, '{"', () => 'k'.repeat(1000), '":1}')));
    const { outcome, growth } = read('key.safetensors', smallSafetensors);
    expect(outcome).toContain('has a string of more than 1024 bytes');
    expect(growth).toBeLessThan(HEADER + MARGIN);
  });

  it('as many tensors, names and dimensions as a safetensors file may have', () => {
    const shape = Array(16).fill(0).join(',');
    const member = (i: number): string =>
      `"${longName(i)}":{"dtype":"U8","shape":[${shape}],"data_offsets":[0,0]}`;
    const text = `{${Array.from({ length: 131_072 }, (_, i) => member(i)).join(',')}}`;
    put('most.safetensors', safetensorsFile(text));
    const { outcome, growth } = read('most.safetensors', smallSafetensors);
    expect(outcome).toBe('131072 tensors');
    expect(growth).toBeLessThan(text.length + MARGIN);
  });

  it('a GGUF file with 32 million empty strings, and one with a string of 1 GiB', () => {
    const strings = 32 * MIB;
    const start = ggufFile({
      keys: [ggufKey('k', 9, concat(u32(8), u64(strings)))],
      tensors: [],
      data: 0,
      alignment: 1,
    });
    put('strings.gguf', start, start.length + 8 * strings);
    const many = read('strings.gguf', ggufFile());
    expect(many.outcome).toBe('0 tensors');
    expect(many.growth).toBeLessThan(MARGIN);
    const long = ggufFile({
      keys: [ggufKey('k', 8, ggufString('', 1024 * MIB))],
      tensors: [],
      data: 0,
      alignment: 1,
    });
    put('string.gguf', long, long.length + 1024 * MIB);
    const one = read('string.gguf', ggufFile());
    expect(one.outcome).toBe('0 tensors');
    expect(one.growth).toBeLessThan(MARGIN);
  });

  it('as many tensors, keys and names as a GGUF file may have', () => {
    const tensors = Array.from({ length: 131_072 }, (_, i) =>
      ggufTensor({ name: longName(i), dims: [0, 0, 0, 0] }),
    );
    const keys = Array.from({ length: 65_536 }, (_, i) => ggufKey(longName(i), 0, Uint8Array.of(1)));
    put('most.gguf', ggufFile({ tensors, keys, data: 0 }));
    const { outcome, growth } = read('most.gguf', ggufFile());
    expect(outcome).toBe('131072 tensors');
    expect(growth).toBeLessThan(statSync(join(folder, 'most.gguf')).size + MARGIN);
  });

  it('as many tensors as an ONNX file may have, and eight million empty nodes', () => {
    const tensors = Array.from({ length: 131_072 }, (_, i) =>
      field(5, onnxTensor({ name: longName(i), dims: Array(16).fill(0), raw: null })),
    );
    put('most.onnx', concat(field(1, 8), field(7, joinBytes(tensors))));
    const most = read('most.onnx', smallOnnx);
    expect(most.outcome).toBe('131072 tensors');
    expect(most.growth).toBeLessThan(statSync(join(folder, 'most.onnx')).size + MARGIN);
    const nodes = new Uint8Array(16 * MIB);
    for (let i = 0; i < nodes.length; i += 2) nodes[i] = 0x0a;
    put('nodes.onnx', concat(field(1, 8), field(7, nodes)));
    const empty = read('nodes.onnx', smallOnnx);
    expect(empty.outcome).toBe('0 tensors');
    expect(empty.growth).toBeLessThan(MARGIN);
  });

  it('an ONNX tensor of 256 MiB of varints', () => {
    const length = 256 * MIB;
    const start = concat(field(1, 1), field(2, 7), field(8, 'w'), field(7, '', length));
    const tensor = concat(field(5, start, start.length + length));
    const file = concat(field(1, 8), field(7, tensor, tensor.length + length));
    put('varints.onnx', file, file.length + length);
    const { outcome, growth } = read('varints.onnx', smallOnnx);
    expect(outcome).toBe(`"varints.onnx" has the tensor "w" whose shape needs 1 values, not ${length}`);
    expect(growth).toBeLessThan(MARGIN);
  });

  it('a sharded index of 64 MiB', () => {
    const name = 'big.safetensors.index.json';
    const text = fill(64 * MIB, '{"weight_map":{"a":"m.safetensors"', (i) => `,"${i}":"m.safetensors"`, '}}');
    put(name, text);
    const { outcome, growth } = read(name, smallIndex);
    expect(outcome).toBe(`"${name}" has more than 1048576 tensors in its index`);
    expect(growth).toBeLessThan(text.length + MARGIN);
  });
});
