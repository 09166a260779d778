import { describe, expect, it } from 'vitest';
import { isVramError } from '../../../src/base/errors.js';
import { placeExternalTensors, readOnnx } from '../../../src/models/onnx.js';
import { bytesAccess } from '../../../src/models/random-access.js';
import type { TensorEntry } from '../../../src/models/tensors.js';
import { concat, field, onnxExternal, onnxFile, onnxNode, onnxTensor } from '../../fuzz/build.mjs';
import { ONNX_CASES } from '../../fuzz/hostile/onnx.js';

describe('readOnnx', () => {
  it.each(ONNX_CASES)('refuses $what', async ({ bytes, message }) => {
    const error: unknown = await readOnnx(bytesAccess(bytes), 'x.onnx').catch((e: unknown) => e);
    if (!isVramError(error, 'INVALID_INPUT')) throw new Error('not refused', { cause: error });
    expect(error.message).toBe(`"x.onnx" ${message}`);
  });

  it('finds initializers, constants and other attributes, in graphs inside nodes, functions and training too', async () => {
    const tensor = (name: string | null = null): Uint8Array => onnxTensor({ name });
    const sparse = concat(field(1, tensor('s')), field(2, tensor()));
    const inner = concat(field(5, tensor('w')), onnxNode('c', concat(field(1, 'value'), field(5, tensor()))));
    const file = onnxFile({
      initializers: [tensor('w')],
      graph: [
        field(15, sparse),
        onnxNode('c', concat(field(5, tensor('ignored')), field(1, 'value'))),
        onnxNode('d', concat(field(1, 'bias'), field(5, tensor()))),
        onnxNode('l', concat(field(1, 'list'), field(10, tensor()), field(10, tensor()))),
        onnxNode('i', concat(field(1, 'then_branch'), field(6, inner))),
        onnxNode('m', concat(field(1, 'cases'), field(11, inner), field(11, inner))),
        onnxNode('v', concat(field(1, 'value'), field(22, sparse))),
      ],
      fields: [
        field(20, concat(field(1, inner), field(2, inner))),
        field(25, concat(field(1, 'f'), onnxNode7('x', tensor()))),
      ],
    });
    const { tensors, external } = await readOnnx(bytesAccess(file));
    expect(external).toEqual([]);
    expect(tensors.map(({ name }) => name).sort()).toEqual(
      [
        'c',
        'd.bias',
        'function.0/x',
        'i.then_branch/c',
        'i.then_branch/w',
        'l.list.0',
        'l.list.1',
        'm.cases.0/c',
        'm.cases.0/w',
        'm.cases.1/c',
        'm.cases.1/w',
        's',
        's.indices',
        'training_info.0/algorithm/c',
        'training_info.0/algorithm/w',
        'training_info.0/initialization/c',
        'training_info.0/initialization/w',
        'v',
        'v.indices',
        'w',
      ].sort(),
    );
    for (const { byteOffset, byteLength } of tensors) {
      expect([...file.subarray(byteOffset - 2, byteOffset)]).toEqual([9 * 8 + 2, byteLength]);
    }
  });

  it('tells raw values from varints and strings', async () => {
    const file = onnxFile({
      initializers: [
        onnxTensor({ name: 'floats', raw: null, fields: [field(4, new Uint8Array(8))] }),
        onnxTensor({ name: 'complex', type: 15, raw: null, fields: [field(10, new Uint8Array(32))] }),
        onnxTensor({
          name: 'integers',
          type: 7,
          raw: null,
          fields: [field(7, Uint8Array.of(1, 0x80, 0x01))],
        }),
        onnxTensor({
          name: 'nibbles',
          type: 22,
          dims: [3],
          raw: null,
          fields: [field(5, Uint8Array.of(1, 2))],
        }),
        onnxTensor({ name: 'raw nibbles', type: 21, dims: [3], raw: 2 }),
        onnxTensor({ name: 'strings', type: 8, raw: null, fields: [field(6, 'a'), field(6, '')] }),
        onnxTensor({ name: 'none', dims: [4, 0], raw: null }),
        onnxTensor({ name: 'packed dims', dims: [], raw: 8, fields: [field(1, Uint8Array.of(2, 1))] }),
      ],
    });
    const { tensors } = await readOnnx(bytesAccess(file));
    const found = Object.fromEntries(
      tensors.map(({ name, dtype, shape, byteLength, encoding }) => [
        name,
        [dtype, shape.join('x'), encoding === 'raw' ? byteLength : encoding],
      ]),
    );
    expect(found).toEqual({
      floats: ['FLOAT', '2', 8],
      complex: ['COMPLEX128', '2', 32],
      integers: ['INT64', '2', 'protobuf'],
      nibbles: ['INT4', '3', 'protobuf'],
      'raw nibbles': ['UINT4', '3', 2],
      strings: ['STRING', '2', 'protobuf'],
      none: ['FLOAT', '4x0', 0],
      'packed dims': ['FLOAT', '2x1', 8],
    });
  });

  it('passes over values without reading them', async () => {
    const size = 8 * 1024 * 1024;
    const file = onnxFile({ initializers: [onnxTensor({ type: 2, dims: [size], raw: size })] });
    const whole = bytesAccess(file);
    let read = 0;
    await readOnnx({
      byteLength: whole.byteLength,
      read: (offset, length) => {
        read += length;
        return whole.read(offset, length);
      },
    });
    expect(read).toBeLessThan(256 * 1024);
  });

  it('gives the place of external data, `.` taken out of paths', async () => {
    const entries = { location: './data/w.bin', offset: '4096', length: '8', checksum: 'abc' };
    const file = onnxFile({ initializers: [onnxTensor({ raw: null, fields: onnxExternal(entries) })] });
    expect((await readOnnx(bytesAccess(file))).external).toEqual([
      {
        path: 'data/w.bin',
        tensor: { name: 'w', dtype: 'FLOAT', shape: [2], byteOffset: 4096, byteLength: 8, encoding: 'raw' },
      },
    ]);
  });
});

describe('readOnnx: what writers leave out', () => {
  it('takes the length of external data from the shape where it is 0 or not given', async () => {
    for (const entries of [
      { location: 'w', length: '0' },
      { location: 'w', offset: '4096', length: '0' },
      { location: 'w' },
    ]) {
      const file = onnxFile({ initializers: [onnxTensor({ raw: null, fields: onnxExternal(entries) })] });
      expect((await readOnnx(bytesAccess(file))).external[0]?.tensor.byteLength).toBe(8);
    }
  });

  it('keeps apart tensors of nodes that omit their first output, and of nodes without any name', async () => {
    const node = (...outputs: string[]): Uint8Array => {
      const attribute = field(5, concat(field(1, 'value'), field(5, onnxTensor())));
      return field(1, concat(...outputs.map((output) => field(2, output)), attribute));
    };
    const file = onnxFile({ graph: [node('', 'y1'), node('', 'y2'), node(), node('')], initializers: [] });
    const { tensors } = await readOnnx(bytesAccess(file));
    expect(tensors.map(({ name }) => name).sort()).toEqual(['node.0', 'node.1', 'y1', 'y2']);
  });
});

/** A node of a function. */
function onnxNode7(output: string, tensor: Uint8Array): Uint8Array {
  return field(7, concat(field(2, output), field(5, concat(field(1, 'value'), field(5, tensor)))));
}

describe('placeExternalTensors', () => {
  const tensor = (name: string, byteOffset: number, byteLength: number): TensorEntry => ({
    name,
    dtype: 'UINT8',
    shape: [byteLength],
    byteOffset,
    byteLength,
    encoding: 'raw',
  });

  it('takes tensors that share a range, and holes', () => {
    const tensors = [tensor('b', 8, 8), tensor('a', 0, 4), tensor('c', 8, 8), tensor('none', 8, 0)];
    expect(placeExternalTensors(tensors, 16).map(({ name }) => name)).toEqual(['a', 'none', 'b', 'c']);
  });

  it('refuses tensors after the end and tensors that overlap', () => {
    expect(() => placeExternalTensors([tensor('a', 9, 8)], 16, 'w.bin')).toThrow(
      '"w.bin" is too short for the tensor "a"',
    );
    expect(() => placeExternalTensors([tensor('a', 0, 8), tensor('b', 4, 8)], 16, 'w.bin')).toThrow(
      '"w.bin" has the tensor "b" over part of another',
    );
    expect(() => placeExternalTensors([tensor('a', 0, 8), tensor('b', 0, 9)], 16, 'w.bin')).toThrow(
      '"w.bin" has the tensor "b" over part of another',
    );
  });
});
