import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../../src/base/canonical-json.js';
import { createPortableEngine } from '../../../src/digest/index.js';
import {
  checkTensorManifest,
  manifestBytes,
  paddingBytes,
  type TensorManifest,
  type TensorModel,
  type TensorSource,
  tensorIndexAt,
  tensorSource,
} from '../../../src/models/index.js';
import { openModel } from '../../../src/node/files/model-files.js';
import { bytesSource } from '../../../src/source/index.js';
import { FIXTURE_FILES, FIXTURE_MODELS, fixtures } from '../../support/fixtures.js';
import { collect, type MadeFile, packedByHand, rising, tensorModel } from '../../support/tensor-model.js';

const { model: VECTOR } = JSON.parse(
  readFileSync(new URL('../../vectors/seal-v2.json', import.meta.url), 'utf8'),
);
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Two files with holes between their tensors, sizes around the block. */
const FILES: readonly MadeFile[] = [
  {
    name: 'one',
    bytes: rising(30_000, 31, 7),
    tensors: [
      { name: 'a', at: 8, length: 4096 },
      { name: 'b', at: 4104, length: 4097 },
      { name: 'c', at: 9000, length: 1 },
      { name: 'd', at: 29_999, length: 1 },
    ],
  },
  { name: 'none', bytes: rising(100, 1, 0), tensors: [] },
  { name: 'two', bytes: rising(20_000, 17, 3), tensors: [{ name: 'e', at: 0, length: 20_000 }] },
];

function streamed(source: TensorSource, chunkBytes: number): Promise<Buffer> {
  return collect(source.stream({ chunkBytes }));
}

describe('the packed sequence', () => {
  it.each([1, 63, 4095, 4096, 4097, 65_536, 2 ** 20])(
    '[CI-008] is the same in chunks of %i bytes',
    async (chunkBytes) => {
      const source = tensorSource(tensorModel(FILES));
      const expected = packedByHand(FILES);
      expect(source.byteLength).toBe(expected.length);
      expect((await streamed(source, chunkBytes)).equals(expected)).toBe(true);
      let longest = 0;
      for await (const { length } of source.stream({ chunkBytes })) longest = Math.max(longest, length);
      expect(longest).toBe(Math.min(chunkBytes, expected.length));
    },
  );

  it('is read at any place, padding too', async () => {
    const expected = packedByHand(FILES);
    const source = tensorSource(tensorModel(FILES));
    for (let offset = 0; offset <= expected.length; offset += 997) {
      for (const length of [0, 1, 4096, 10_000]) {
        const end = Math.min(offset + length, expected.length);
        const bytes = await source.readRange(offset, end - offset);
        expect(Buffer.from(bytes).equals(expected.subarray(offset, end)), `${offset}+${length}`).toBe(true);
      }
    }
    await expect(source.readRange(expected.length, 1)).rejects.toMatchObject({ argument: 'length' });
    await source.close();
    await expect(source.readRange(0, 1)).rejects.toThrow('"source" is closed');
  });

  it('is what the frozen vector says, and so is its manifest', async () => {
    const files: MadeFile[] = VECTOR.files.map((file: Record<string, number>, index: number) => ({
      name: file['name'],
      bytes: rising(file['byteLength'] ?? 0, file['multiplier'] ?? 0, file['addend'] ?? 0),
      tensors: VECTOR.manifest.tensors
        .filter((tensor: { file: number }) => tensor.file === index)
        .map(({ fileOffset, byteLength, ...rest }: { fileOffset: number; byteLength: number }) => ({
          ...rest,
          at: fileOffset,
          length: byteLength,
        })),
    }));
    const source = tensorSource(tensorModel(files));
    expect(source.manifest).toEqual(VECTOR.manifest);
    expect(Buffer.from(manifestBytes(source.manifest)).toString()).toBe(VECTOR.canonical);
    expect(sha256(manifestBytes(source.manifest))).toBe(VECTOR.manifestSha256);
    const engine = createPortableEngine();
    const stream = engine.start({ byteLength: source.byteLength, sha256: true, keep: 'root' });
    for await (const chunk of source.stream({ chunkBytes: 5000 })) await stream.update(chunk);
    const { byteLength, sha256: flat, fsverity } = await stream.finish();
    expect({ byteLength, sha256: flat, fsverity }).toEqual(VECTOR.packed);
    await engine.close();
  });

  it.each(
    FIXTURE_MODELS.flatMap((name) =>
      Object.entries(FIXTURE_FILES).map(([format, file]) => ({ name, format, file })),
    ),
  )('holds the tensors of real weights: $name as $format', async ({ name, file }) => {
    const model = await openModel(join(fixtures(), name, file));
    const source = tensorSource(model);
    const packed = await streamed(source, 2 ** 20);
    const files = model.shards.map(({ path }) => readFileSync(path));
    for (const { name: tensor, file: from, fileOffset, offset, byteLength } of source.manifest.tensors) {
      const bytes = files[from]?.subarray(fileOffset, fileOffset + byteLength);
      expect(bytes?.equals(packed.subarray(offset, offset + byteLength)), tensor).toBe(true);
    }
    const named = new Set([
      ...source.manifest.tensors.map((each) => each.name),
      ...source.leftOut.map((each) => each.name),
    ]);
    expect(named.size).toBe(model.tensorCount);
    expect(canonicalJson(source.manifest)).toBe(Buffer.from(manifestBytes(source.manifest)).toString());
    await source.unchanged();
  });

  it('puts tensors that are the same bytes of a file in one place', async () => {
    const [first] = FILES;
    if (first === undefined) throw new Error('there is a file');
    const source = tensorSource(
      tensorModel([{ ...first, tensors: [...first.tensors, { name: 'tied', at: 4104, length: 4097 }] }]),
    );
    const place = (name: string) => source.manifest.tensors.find((tensor) => tensor.name === name)?.offset;
    expect(place('tied')).toBe(place('b'));
    expect(source.cuts).toHaveLength(first.tensors.length);
    expect((await streamed(source, 4096)).equals(packedByHand([first]))).toBe(true);
    const all = await source.readRange(0, source.byteLength);
    expect(Buffer.from(all).equals(packedByHand([first]))).toBe(true);
    expect(checkTensorManifest('manifest', source.manifest)).toEqual(source.manifest);
  });
});

it('names what has nothing to pack, and why', () => {
  const { leftOut, manifest } = tensorSource(
    tensorModel([
      {
        name: 'x',
        bytes: new Uint8Array(10),
        tensors: [
          { name: 'empty', at: 0, length: 0 },
          { name: 'values', at: 0, length: 4, encoding: 'protobuf' },
          { name: 'bytes', at: 4, length: 6 },
        ],
      },
    ]),
  );
  expect(leftOut).toEqual([
    { name: 'empty', why: 'empty' },
    { name: 'values', why: 'protobuf' },
  ]);
  expect(manifest.tensors.map(({ name }) => name)).toEqual(['bytes']);
});

describe('cuts', () => {
  const sizes = [10, 20, 5000, 30, 40, 50, 9000];
  const model = tensorModel([
    {
      name: 'x',
      bytes: new Uint8Array(100_000),
      tensors: sizes.map((length, index) => ({ name: `t${index}`, at: index * 10_000, length })),
    },
  ]);

  it('begin a buffer for every tensor', () => {
    const { cuts, manifest, minBytes } = tensorSource(model);
    expect(cuts).toEqual([0, 4096, 8192, 16_384, 20_480, 24_576, 28_672]);
    expect(cuts).toEqual(manifest.tensors.map(({ offset }) => offset));
    expect(minBytes).toBeNull();
  });

  it('let small neighbours share a buffer, each on a block of its own', () => {
    const { cuts, manifest } = tensorSource(model, { minBytes: 5000 });
    expect(cuts).toEqual([0, 8192, 16_384, 28_672]);
    expect(manifest).toEqual(tensorSource(model).manifest);
  });

  it('end a shared buffer after 16 MiB', () => {
    const tensors = Array.from({ length: 4100 }, (_, index) => ({ name: `t${index}`, at: index, length: 1 }));
    const { cuts } = tensorSource(tensorModel([{ name: 'x', bytes: new Uint8Array(4100), tensors }]), {
      minBytes: 2,
    });
    expect(cuts).toEqual([0, 16 * 2 ** 20]);
  });

  it('leave out what is not chosen', () => {
    const { manifest, byteLength } = tensorSource(model, { only: ({ byteLength: bytes }) => bytes > 4096 });
    expect(manifest.tensors.map(({ name, offset }) => [name, offset])).toEqual([
      ['t2', 0],
      ['t6', 8192],
    ]);
    expect(byteLength).toBe(8192 + 12_288);
    expect(paddingBytes(manifest)).toBe(byteLength - 14_000);
  });
});

describe('a model that cannot be packed', () => {
  const one = (tensors: MadeFile['tensors'], name = 'x'): MadeFile => ({
    name,
    bytes: new Uint8Array(10_000),
    tensors,
  });
  const models: [string, TensorModel, string][] = [
    ['no tensors', tensorModel([one([])]), '"model" has no tensor to pack'],
    [
      'protobuf values alone',
      tensorModel([one([{ name: 'a', at: 0, length: 9, encoding: 'protobuf' }])]),
      '"model" has no tensor to pack: its file holds protobuf values, not their bytes',
    ],
    [
      'an empty tensor alone',
      tensorModel([one([{ name: 'a', at: 0, length: 0 }])]),
      '"model" has no tensor to pack',
    ],
    [
      'a tensor that leaves its file',
      tensorModel([one([{ name: 'a', at: 9999, length: 2 }])]),
      '"x" has the tensor "a" that ends after the file',
    ],
    [
      'overlapping tensors',
      tensorModel([
        one([
          { name: 'a', at: 0, length: 20 },
          { name: 'b', at: 19, length: 20 },
        ]),
      ]),
      '"x" has the tensor "b" over the bytes of another',
    ],
    [
      'tensors that begin alike and end apart',
      tensorModel([
        one([
          { name: 'a', at: 0, length: 20 },
          { name: 'b', at: 0, length: 21 },
        ]),
      ]),
      '"x" has the tensor "b" over the bytes of another',
    ],
    [
      'a name twice',
      tensorModel([one([{ name: 'a', at: 0, length: 20 }]), one([{ name: 'a', at: 0, length: 20 }], 'y')]),
      '"y" has the tensor "a" twice',
    ],
    [
      'a file twice',
      tensorModel([one([{ name: 'a', at: 0, length: 20 }]), one([{ name: 'b', at: 0, length: 20 }])]),
      '"model.shards[1]" has the label of another file',
    ],
    ['no files', { shards: [] }, '"model" must have shards'],
  ];

  it.each(models)('is refused with what is wrong: %s', (_name, model, message) => {
    expect(() => tensorSource(model)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }));
    expect(() => tensorSource(model)).toThrow(message);
  });

  it('is refused for options that are not there', () => {
    const model = tensorModel(FILES);
    expect(() => tensorSource(model, { minBytes: 0 })).toThrow('"minBytes"');
    expect(() => tensorSource(model, { only: 'a' as never })).toThrow('"only"');
    expect(() => tensorSource(model, { onyl: () => true } as object)).toThrow('"options"');
  });

  it('[IV-006] is found out while it is read: a file of another length, a stream that ends early', async () => {
    const [shard] = tensorModel(FILES).shards;
    if (shard === undefined) throw new Error('there is a file');
    const shorter = { shards: [{ ...shard, open: async () => bytesSource(new Uint8Array(29_999), 'one') }] };
    await expect(streamed(tensorSource(shorter), 4096)).rejects.toMatchObject({ code: 'SOURCE_MISMATCH' });
    const cut = bytesSource(rising(30_000, 31, 7), 'one');
    const early = {
      ...cut,
      stream: (options: never) => bytesSource(new Uint8Array(29_999), 'one').stream(options),
    };
    await expect(
      streamed(tensorSource({ shards: [{ ...shard, open: async () => early }] }), 4096),
    ).rejects.toThrow('the file "one" ended before its last tensor did');
  });
});

describe('a manifest of anybody', () => {
  const good: TensorManifest = tensorSource(tensorModel(FILES)).manifest;
  const [a, b] = good.tensors;
  const bad: [string, unknown][] = [
    ['null', null],
    ['another version', { ...good, v: 2 }],
    ['no files', { ...good, files: [] }],
    ['no tensors', { ...good, tensors: [] }],
    ['a file twice', { ...good, files: [good.files[0], good.files[0]] }],
    ['a tensor twice', { ...good, tensors: [a, { ...a, offset: 4096, fileOffset: 4104 }] }],
    ['a tensor without bytes', { ...good, tensors: [{ ...a, byteLength: 0 }] }],
    ['a tensor of no file', { ...good, tensors: [{ ...a, file: 3 }] }],
    ['a tensor that leaves its file', { ...good, tensors: [{ ...a, fileOffset: 29_999 }] }],
    ['a first tensor that is not at 0', { ...good, tensors: [{ ...a, offset: 4096 }] }],
    ['a hole', { ...good, tensors: [a, { ...b, offset: 8192 }] }],
    ['an overlap', { ...good, tensors: [a, { ...b, offset: 0 }] }],
    ['an overlap in the file', { ...good, tensors: [a, { ...b, fileOffset: 4103 }] }],
    ['a shape of fractions', { ...good, tensors: [{ ...a, shape: [0.5] }] }],
    ['a shape of too many dimensions', { ...good, tensors: [{ ...a, shape: Array(17).fill(1) }] }],
    ['a name with a line break', { ...good, tensors: [{ ...a, name: 'a\nb' }] }],
    ['a name with a lone surrogate', { ...good, tensors: [{ ...a, name: '\ud800' }] }],
  ];

  it.each(bad)('is refused with the argument: %s', (_name, manifest) => {
    expect(() => checkTensorManifest('manifest', manifest as TensorManifest)).toThrow(
      expect.objectContaining({ code: 'INVALID_INPUT', argument: expect.stringMatching(/^manifest/) }),
    );
  });

  it('is copied and frozen, without keys that nobody knows', () => {
    const checked = checkTensorManifest('manifest', { ...good, extra: 1 } as TensorManifest);
    expect(checked).toEqual(good);
    expect(Object.isFrozen(checked.tensors[0]?.shape)).toBe(true);
  });

  it('finds the tensor of a byte', () => {
    const names = (byte: number) => good.tensors[tensorIndexAt(good, byte)]?.name;
    expect([0, 4095, 4096, 8192, 12_287, 12_288, 16_384, 20_480].map(names)).toEqual([
      'a',
      'a',
      'b',
      'b',
      'b',
      'c',
      'd',
      'e',
    ]);
    expect(tensorIndexAt(good, 40_959)).toBe(4);
    expect(tensorIndexAt(good, 40_960)).toBe(-1);
  });
});
