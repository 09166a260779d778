import { concat, ggufFile, ggufKey, ggufString, ggufTensor, u32, u64 } from '../build.mjs';
import { type HostileCase, hostile } from './case.js';

const STRING = 8;
const ARRAY = 9;
const withKey = (...key: Uint8Array[]): Uint8Array => ggufFile({ keys: [concat(...key)] });
const withTensor = (tensor: Parameters<typeof ggufTensor>[0], data = 32): Uint8Array =>
  ggufFile({ tensors: [ggufTensor(tensor)], data });
const alignment = (value: number): Uint8Array => ggufKey('general.alignment', 4, u32(value));
const nested = (levels: number): Uint8Array => {
  let value = concat(u32(4), u64(0));
  for (let i = 1; i < levels; i++) value = concat(u32(ARRAY), u64(1), value);
  return value;
};
const notUtf8 = Uint8Array.of(0xff);

export const GGUF_CASES: readonly HostileCase[] = [
  hostile('an empty file', new Uint8Array(0), 'is too short for a GGUF file: fewer than 24 bytes'),
  hostile('23 bytes', ggufFile().subarray(0, 23), 'is too short for a GGUF file: fewer than 24 bytes'),
  hostile('another magic', ggufFile({ magic: 'GGML' }), 'does not start with GGUF'),
  hostile('version 1', ggufFile({ version: 1 }), 'is GGUF of version 1; versions 2 and 3 are known'),
  hostile('version 4', ggufFile({ version: 4 }), 'is GGUF of version 4; versions 2 and 3 are known'),
  hostile(
    'a big-endian file',
    ggufFile({ version: 0x03000000 }),
    'is a big-endian GGUF file, which is not supported',
  ),
  hostile(
    'a tensor count of 2^64 - 1',
    ggufFile({ tensorCount: 2n ** 64n - 1n }),
    'has a tensor count beyond 2^53 - 1',
  ),
  hostile(
    'a metadata count of 2^63',
    ggufFile({ keyCount: 2n ** 63n }),
    'has a metadata count beyond 2^53 - 1',
  ),
  hostile(
    'more tensors than bytes',
    ggufFile({ tensorCount: 2 ** 32 }),
    'counts more tensors than its bytes can hold',
  ),
  hostile(
    'more metadata than bytes',
    ggufFile({ keyCount: 2 ** 32 }),
    'counts more metadata than its bytes can hold',
  ),
  hostile(
    'more than 131072 tensors',
    ggufFile({ tensorCount: 131_073, data: 2 ** 22 }),
    'has more than 131072 tensors',
  ),
  hostile(
    'more than 65536 keys',
    ggufFile({ keyCount: 65_537, data: 2 ** 21 }),
    'has more than 65536 metadata keys',
  ),
  hostile(
    'a tensor count one too high',
    ggufFile({ tensorCount: 2, data: 0 }),
    'counts more tensors than its bytes can hold',
  ),
  hostile(
    'a key without a name',
    withKey(ggufKey('', 0, Uint8Array.of(1))),
    'has a metadata key without a name',
  ),
  hostile(
    'a key of 1025 bytes',
    withKey(ggufKey('k'.repeat(1025), 0, Uint8Array.of(1))),
    'has a metadata key of more than 1024 bytes',
  ),
  hostile(
    'a key that is not UTF-8',
    withKey(ggufString(notUtf8), u32(0), Uint8Array.of(1)),
    'has a metadata key that is not UTF-8',
  ),
  hostile(
    'a key that ends after the file',
    withKey(ggufString('k', 2 ** 40), u32(0), Uint8Array.of(1)),
    'has a metadata key that ends after the file',
  ),
  hostile(
    'a key length of 2^64 - 1',
    withKey(ggufString('k', 2n ** 64n - 1n), u32(0), Uint8Array.of(1)),
    'has the length of a metadata key beyond 2^53 - 1',
  ),
  hostile(
    'a key twice',
    ggufFile({ keys: [ggufKey('k', 0, Uint8Array.of(1)), ggufKey('k', 0, Uint8Array.of(1))] }),
    'has the metadata key "k" twice',
  ),
  hostile(
    'more than 16 MiB of names',
    ggufFile({
      tensors: Array.from({ length: 16_600 }, (_, i) => ggufTensor({ name: `${i}${'n'.repeat(1013)}` })),
    }),
    'has more than 16777216 bytes of tensor names',
  ),
  hostile(
    'a value of an unknown type',
    withKey(ggufKey('k', 13, u64(0))),
    'has a metadata value of the unknown type 13',
  ),
  hostile(
    'a bool of 2',
    withKey(ggufKey('k', 7, Uint8Array.of(2))),
    'has a metadata bool that is neither 0 nor 1',
  ),
  hostile(
    'a string that ends after the file',
    withKey(ggufKey('k', STRING, ggufString('v', 2 ** 40))),
    'has a string that ends after the file',
  ),
  hostile(
    'a string length of 2^63',
    withKey(ggufKey('k', STRING, ggufString('v', 2n ** 63n))),
    'has a string length beyond 2^53 - 1',
  ),
  hostile(
    'an array that ends after the file',
    withKey(ggufKey('k', ARRAY, concat(u32(4), u64(2 ** 40)))),
    'has a metadata array that ends after the file',
  ),
  hostile(
    'an array whose last element ends after the file',
    ggufFile({ keys: [ggufKey('k', ARRAY, concat(u32(4), u64(9)))], tensors: [], data: 32, alignment: 1 }),
    'has a metadata array that ends after the file',
  ),
  hostile(
    'an array length of 2^62 whose bytes wrap 64 bits',
    withKey(ggufKey('k', ARRAY, concat(u32(4), u64(2n ** 62n)))),
    'has an array length beyond 2^53 - 1',
  ),
  hostile(
    'an array of strings with one too long',
    withKey(ggufKey('k', ARRAY, concat(u32(STRING), u64(2), ggufString('a'), ggufString('b', 2 ** 40)))),
    'has a string that ends after the file',
  ),
  hostile(
    'an array of an unknown type',
    withKey(ggufKey('k', ARRAY, concat(u32(99), u64(1), u64(0)))),
    'has a metadata value of the unknown type 99',
  ),
  hostile(
    'arrays nested nine levels deep',
    withKey(ggufKey('k', ARRAY, nested(9))),
    'has metadata arrays nested deeper than 8 levels',
  ),
  hostile(
    'an alignment that is not a uint32',
    withKey(ggufKey('general.alignment', 10, u64(32))),
    'has a general.alignment that is not a uint32',
  ),
  hostile(
    'an alignment of 0',
    withKey(alignment(0)),
    'has a general.alignment that is not a power of two of at least 8',
  ),
  hostile(
    'an alignment of 4',
    withKey(alignment(4)),
    'has a general.alignment that is not a power of two of at least 8',
  ),
  hostile(
    'an alignment of 48',
    withKey(alignment(48)),
    'has a general.alignment that is not a power of two of at least 8',
  ),
  hostile(
    'metadata that stops in a number',
    ggufFile({ keys: [ggufKey('some.key.name', 12, new Uint8Array(2))], tensors: [], data: 0, alignment: 1 }),
    'ends too early: at byte 51',
  ),
  hostile('a tensor without a name', withTensor({ name: '' }), 'has a tensor without a name'),
  hostile(
    'a tensor name with a null byte',
    withTensor({ name: 'a\0' }),
    'has a tensor name with control characters',
  ),
  hostile(
    'a tensor name of 1025 bytes',
    withTensor({ name: 'n'.repeat(1025) }),
    'has a tensor name of more than 1024 bytes',
  ),
  hostile(
    'a tensor twice',
    ggufFile({ tensors: [ggufTensor(), ggufTensor({ offset: 32 })], data: 64 }),
    'has the tensor "a" twice',
  ),
  hostile(
    'five dimensions',
    withTensor({ dims: [1, 1, 1, 1, 8] }),
    'has the tensor "a" with more than 4 dimensions',
  ),
  hostile(
    '2^32 - 1 dimensions',
    withTensor({ rank: 2 ** 32 - 1 }),
    'has the tensor "a" with more than 4 dimensions',
  ),
  hostile('a dimension of 2^63', withTensor({ dims: [2n ** 63n] }), 'has a dimension beyond 2^53 - 1'),
  hostile(
    'a product of dimensions over 2^53',
    withTensor({ dims: [2 ** 27, 2 ** 27] }),
    'has the tensor "a" with more than 2^53 - 1 elements',
  ),
  hostile(
    'a size over 2^53 bits',
    withTensor({ dims: [2 ** 50], type: 28 }),
    'has the tensor "a" with more than 2^53 - 1 bits',
  ),
  hostile(
    'an unknown tensor type, and more bytes than any type takes',
    withTensor({ dims: [32], type: 139 }, 32 * 8 + 32),
    'has the tensor "a" of the unknown type 139, and no offset from which its size follows',
  ),
  hostile(
    'an unknown tensor type, and no bytes',
    withTensor({ dims: [32], type: 139 }, 0),
    'has the tensor "a" of the unknown type 139, and no offset from which its size follows',
  ),
  hostile(
    'an unknown tensor type where another tensor lies',
    ggufFile({
      tensors: [ggufTensor({ dims: [32], type: 139 }), ggufTensor({ name: 'b', dims: [32] })],
      data: 128,
    }),
    'has the tensor "a" of the unknown type 139, and no offset from which its size follows',
  ),
  hostile(
    'a last tensor of an unknown type, with fewer bytes than others of it',
    ggufFile({
      tensors: [
        ggufTensor({ dims: [256, 8], type: 139 }),
        ggufTensor({ name: 'b', dims: [256, 8], type: 139, offset: 1152 }),
      ],
      data: 1152 + 1000,
    }),
    'has the tensor "b" that ends after the file',
  ),
  hostile(
    'rows that are not whole blocks',
    withTensor({ dims: [40], type: 2 }),
    'has the tensor "a" whose rows are not whole blocks of Q4_0',
  ),
  hostile(
    'an offset that is not aligned',
    withTensor({ offset: 8 }, 64),
    'has the tensor "a" at an offset that is not aligned',
  ),
  hostile('an offset of 2^63', withTensor({ offset: 2n ** 63n }), 'has a tensor offset beyond 2^53 - 1'),
  hostile(
    'an offset that overflows with the header',
    withTensor({ offset: 2 ** 53 - 32 }),
    'has the tensor "a" that ends after the file',
  ),
  hostile(
    'a tensor after the end of the file',
    withTensor({ dims: [9] }),
    'has the tensor "a" that ends after the file',
  ),
  hostile(
    'tensors that overlap',
    ggufFile({ tensors: [ggufTensor({ dims: [16] }), ggufTensor({ name: 'b', offset: 32 })], data: 64 }),
    'has the tensor "b" over the bytes of another',
  ),
  hostile(
    'two tensors in one place',
    ggufFile({ tensors: [ggufTensor(), ggufTensor({ name: 'b' })] }),
    'has the tensor "b" over the bytes of another',
  ),
];
