import { safetensorsFile, u64 } from '../build.mjs';
import { type HostileCase, hostile } from './case.js';

const tensor = (dtype: string, shape: number[], begin: number, end: number): object => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const F32 = tensor('F32', [2], 0, 8);
const text = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
const withField = (field: string): string =>
  `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],${field}}}`;

export const SAFETENSORS_CASES: readonly HostileCase[] = [
  hostile('an empty file', new Uint8Array(0), 'is too short for a safetensors file: fewer than 8 bytes'),
  hostile('seven bytes', new Uint8Array(7), 'is too short for a safetensors file: fewer than 8 bytes'),
  hostile('an empty header', safetensorsFile(''), 'has an empty header'),
  hostile(
    'a header that ends after the file',
    safetensorsFile(text, 0, 1000),
    'has a header that ends after the file',
  ),
  hostile(
    'a header that ends one byte after the file',
    safetensorsFile(text, 0, text.length + 1),
    'has a header that ends after the file',
  ),
  hostile(
    'a header over 100 MB',
    safetensorsFile(text, 8, 100_000_001),
    'has a header of more than 100000000 bytes',
  ),
  hostile('a header length of 2^63', u64(2n ** 63n), 'has a header length beyond 2^53 - 1'),
  hostile(
    'a header that starts with a space',
    safetensorsFile(` ${text}`, 8),
    'has a header that does not start with {',
  ),
  hostile('an array as header', safetensorsFile('[]'), 'has a header that does not start with {'),
  hostile(
    'a byte order mark',
    safetensorsFile(`\ufeff${text}`, 8),
    'has a header that does not start with {',
  ),
  hostile(
    'a header that is not UTF-8',
    safetensorsFile(Uint8Array.from([0x7b, 0x22, 0xff, 0x22, 0x7d])),
    'has a header that is not UTF-8',
  ),
  hostile('a header cut short', safetensorsFile('{"a":{'), 'has JSON that ends too early (JSON position 6)'),
  hostile(
    'a header cut in a string',
    safetensorsFile('{"abc'),
    'ends inside a JSON string (JSON position 2)',
  ),
  hostile(
    'trailing zero bytes',
    safetensorsFile(`${text}\0\0`, 8),
    'has text after its JSON (JSON position 54)',
  ),
  hostile(
    'a trailing line break',
    safetensorsFile(`${text} \n`, 8),
    'has text after its JSON (JSON position 55)',
  ),
  hostile('a second object', safetensorsFile(`${text}{}`, 8), 'has text after its JSON (JSON position 54)'),
  hostile(
    'a control character in a name',
    safetensorsFile('{"a\u0001":1}'),
    'has a control character in a JSON string (JSON position 3)',
  ),
  hostile(
    'a tab in a name',
    safetensorsFile('{"a\t":1}'),
    'has a control character in a JSON string (JSON position 3)',
  ),
  hostile(
    'the last of the control characters in a name',
    safetensorsFile('{"a\u001f":1}'),
    'has a control character in a JSON string (JSON position 3)',
  ),
  hostile(
    'an unknown escape',
    safetensorsFile('{"\\x61":1}'),
    'has a bad escape in a JSON string (JSON position 2)',
  ),
  hostile(
    'a broken \\u escape',
    safetensorsFile('{"\\u00g1":1}'),
    'has a bad escape in a JSON string (JSON position 2)',
  ),
  hostile(
    'a lone surrogate in a name',
    safetensorsFile('{"\\ud800":1}'),
    'has a lone surrogate in a JSON string (JSON position 2)',
  ),
  hostile(
    'an escaped control character in a name',
    safetensorsFile({ 'a\n': F32 }, 8),
    'has a tensor name with control characters',
  ),
  hostile('a tensor without a name', safetensorsFile({ '': F32 }, 8), 'has a tensor without a name'),
  hostile(
    'a name of 1025 bytes',
    safetensorsFile({ [`a${'b'.repeat(1024)}`]: F32 }, 8),
    'has a string of more than 1024 bytes (JSON position 2)',
  ),
  hostile(
    'a tensor twice',
    safetensorsFile(`{"a":${JSON.stringify(F32)},"a":${JSON.stringify(F32)}}`, 8),
    'has the tensor "a" twice',
  ),
  hostile(
    'a tensor twice, once escaped',
    safetensorsFile(`{"a":${JSON.stringify(F32)},"\\u0061":${JSON.stringify(F32)}}`, 8),
    'has the tensor "a" twice',
  ),
  hostile(
    'a tensor called __proto__ twice',
    safetensorsFile(`{"__proto__":${JSON.stringify(F32)},"__proto__":${JSON.stringify(F32)}}`, 8),
    'has the tensor "__proto__" twice',
  ),
  hostile(
    '__metadata__ twice',
    safetensorsFile('{"__metadata__":{},"__metadata__":{}}'),
    'has __metadata__ twice',
  ),
  hostile(
    'a metadata key twice',
    safetensorsFile('{"__metadata__":{"k":"1","k":"2"}}'),
    'has "k" twice in __metadata__',
  ),
  hostile(
    'metadata that is not a string',
    safetensorsFile('{"__metadata__":{"k":1}}'),
    'needs " in its JSON (JSON position 21)',
  ),
  hostile(
    'metadata that is not an object',
    safetensorsFile('{"__metadata__":"k"}'),
    'needs { in its JSON (JSON position 16)',
  ),
  hostile(
    'too much metadata',
    safetensorsFile({
      __metadata__: Object.fromEntries(Array.from({ length: 65_537 }, (_, i) => [`k${i}`, ''])),
    }),
    'has more than 65536 entries in __metadata__',
  ),
  hostile(
    'a tensor that is not an object',
    safetensorsFile({ a: 1 }),
    'needs { in its JSON (JSON position 5)',
  ),
  hostile(
    'a field twice',
    safetensorsFile(withField('"dtype":"F32"'), 8),
    'has dtype twice in the tensor "a"',
  ),
  hostile('a shape twice', safetensorsFile(withField('"shape":[2]'), 8), 'has shape twice in the tensor "a"'),
  hostile(
    'offsets twice',
    safetensorsFile(withField('"data_offsets":[0,8]'), 8),
    'has data_offsets twice in the tensor "a"',
  ),
  hostile(
    'an unknown field',
    safetensorsFile(withField('"strides":[4]'), 8),
    'has an unknown field in the tensor "a"',
  ),
  hostile(
    'a missing field',
    safetensorsFile({ a: { dtype: 'F32', shape: [2] } }, 8),
    'has the tensor "a" without dtype, shape or data_offsets',
  ),
  hostile(
    'an unknown dtype',
    safetensorsFile({ a: tensor('F31', [2], 0, 8) }, 8),
    'has the tensor "a" of an unknown dtype',
  ),
  hostile(
    'a dtype in small letters',
    safetensorsFile({ a: tensor('f32', [2], 0, 8) }, 8),
    'has the tensor "a" of an unknown dtype',
  ),
  hostile(
    'a dtype that is not a string',
    safetensorsFile({ a: { ...F32, dtype: 1 } }, 8),
    'needs " in its JSON (JSON position 14)',
  ),
  hostile(
    'a negative dimension',
    safetensorsFile({ a: tensor('F32', [-2], 0, 8) }, 8),
    'needs an integer of at least 0 (JSON position 29)',
  ),
  hostile(
    'a dimension of 2.0',
    safetensorsFile(text.replace('[2]', '[2.0]'), 8),
    'needs ] in its JSON (JSON position 30)',
  ),
  hostile(
    'a dimension of 1e1',
    safetensorsFile(text.replace('[2]', '[1e1]'), 8),
    'needs ] in its JSON (JSON position 30)',
  ),
  hostile(
    'a dimension with a leading zero',
    safetensorsFile(text.replace('[2]', '[02]'), 8),
    'has an integer with a leading zero (JSON position 29)',
  ),
  hostile(
    'a dimension of 2^53',
    safetensorsFile(text.replace('[2]', '[9007199254740992]'), 8),
    'has an integer beyond 2^53 - 1 (JSON position 29)',
  ),
  hostile(
    'a dimension of 10^30',
    safetensorsFile(text.replace('[2]', `[1${'0'.repeat(30)}]`), 8),
    'has an integer beyond 2^53 - 1 (JSON position 29)',
  ),
  hostile(
    'seventeen dimensions',
    safetensorsFile({ a: tensor('F32', Array(17).fill(1), 0, 4) }, 4),
    'has the tensor "a" with more than 16 dimensions',
  ),
  hostile(
    'a product of dimensions over 2^53',
    safetensorsFile({ a: tensor('U8', [2 ** 27, 2 ** 27], 0, 8) }, 8),
    'has the tensor "a" with more than 2^53 - 1 elements',
  ),
  hostile(
    'a product that wraps 64 bits to 8',
    safetensorsFile({ a: tensor('U8', [2 ** 32, 2 ** 32, 8], 0, 8) }, 8),
    'has the tensor "a" with more than 2^53 - 1 elements',
  ),
  hostile(
    'a size over 2^53 bits',
    safetensorsFile({ a: tensor('F64', [2 ** 50], 0, 8) }, 8),
    'has the tensor "a" with more than 2^53 - 1 bits',
  ),
  hostile(
    'half a byte',
    safetensorsFile({ a: tensor('F4', [3], 0, 2) }, 2),
    'has the tensor "a" that ends inside a byte',
  ),
  hostile(
    'one offset',
    safetensorsFile({ a: { ...F32, data_offsets: [0] } }, 8),
    'has the tensor "a" with fewer than two data_offsets',
  ),
  hostile(
    'three offsets',
    safetensorsFile({ a: { ...F32, data_offsets: [0, 8, 8] } }, 8),
    'has the tensor "a" with more than two data_offsets',
  ),
  hostile(
    'an end before the beginning',
    safetensorsFile({ a: tensor('F32', [2], 8, 0) }, 8),
    'has the tensor "a" that ends before it begins',
  ),
  hostile(
    'a length that is not shape x dtype',
    safetensorsFile({ a: tensor('F32', [3], 0, 8) }, 8),
    'has the tensor "a" whose shape and dtype need 12 bytes, not 8',
  ),
  hostile(
    'a tensor after the end of the file',
    safetensorsFile({ a: tensor('F32', [4], 0, 16) }, 8),
    'has the tensor "a" that ends after the file',
  ),
  hostile(
    'a beginning after the end of the file',
    safetensorsFile({ a: tensor('F32', [2], 2 ** 40, 2 ** 40 + 8) }, 8),
    'has the tensor "a" that ends after the file',
  ),
  hostile(
    'a hole at the beginning',
    safetensorsFile({ a: tensor('F32', [2], 4, 12) }, 12),
    'has a hole of 4 bytes before the tensor "a"',
  ),
  hostile(
    'a hole between tensors',
    safetensorsFile({ a: F32, b: tensor('F32', [1], 12, 16) }, 16),
    'has a hole of 4 bytes before the tensor "b"',
  ),
  hostile(
    'tensors that overlap',
    safetensorsFile({ a: F32, b: tensor('F32', [2], 4, 12) }, 12),
    'has the tensor "b" over the bytes of another',
  ),
  hostile(
    'two tensors in one place',
    safetensorsFile({ a: F32, b: F32 }, 8),
    'has the tensor "b" over the bytes of another',
  ),
  hostile(
    'an empty tensor inside another',
    safetensorsFile({ a: F32, b: tensor('F32', [0], 4, 4) }, 8),
    'has the tensor "b" over the bytes of another',
  ),
  hostile(
    'bytes after the last tensor',
    safetensorsFile({ a: F32 }, 12),
    'has 4 bytes after its last tensor',
  ),
  hostile('bytes but no tensor', safetensorsFile('{}', 4), 'has 4 bytes after its last tensor'),
  hostile(
    'more than 131072 tensors',
    safetensorsFile(
      Object.fromEntries(Array.from({ length: 131_073 }, (_, i) => [`t${i}`, tensor('U8', [0], 0, 0)])),
    ),
    'has more than 131072 tensors',
  ),
  hostile(
    'more than 16 MiB of names',
    safetensorsFile(
      Object.fromEntries(
        Array.from({ length: 16_600 }, (_, i) => [`${i}${'n'.repeat(1013)}`, tensor('U8', [0], 0, 0)]),
      ),
    ),
    'has more than 16777216 bytes of tensor names',
  ),
];
