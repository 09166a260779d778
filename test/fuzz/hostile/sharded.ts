import { type HostileCase, hostile } from './case.js';

const text = (value: string | Uint8Array): Uint8Array =>
  typeof value === 'string' ? new TextEncoder().encode(value) : value;
const map = (weightMap: Record<string, unknown>): Uint8Array =>
  text(JSON.stringify({ weight_map: weightMap }));

function manyTensors(count: number): Uint8Array {
  const members = Array.from({ length: count }, (_, i) => `"t${i}":"a.safetensors"`);
  return text(`{"weight_map":{${members.join(',')}}}`);
}

/** Of `*.safetensors.index.json`. */
export const SHARDED_CASES: readonly HostileCase[] = [
  hostile('an empty index', text(''), 'has JSON that ends too early (JSON position 0)'),
  hostile('an index that is not UTF-8', Uint8Array.of(0x7b, 0xff), 'has text that is not UTF-8'),
  hostile('an array', text('[]'), 'needs { in its JSON (JSON position 0)'),
  hostile('no weight_map', text('{"metadata":{"total_size":1}}'), 'has no weight_map'),
  hostile('an empty weight_map', map({}), 'has an empty weight_map'),
  hostile(
    'weight_map twice',
    text('{"weight_map":{"a":"a.safetensors"},"weight_map":{}}'),
    'has "weight_map" twice in its index',
  ),
  hostile(
    'something after the index',
    text('{"weight_map":{"a":"a.safetensors"}}x'),
    'has text after its JSON (JSON position 36)',
  ),
  hostile(
    'a tensor twice',
    text('{"weight_map":{"a":"a.safetensors","a":"b.safetensors"}}'),
    'has the tensor "a" twice in its index',
  ),
  hostile(
    'a tensor twice, once escaped',
    text('{"weight_map":{"a":"a.safetensors","\\u0061":"b.safetensors"}}'),
    'has the tensor "a" twice in its index',
  ),
  hostile('a tensor without a name', map({ '': 'a.safetensors' }), 'has a tensor without a name'),
  hostile('a file that is a number', map({ a: 1 }), 'needs " in its JSON (JSON position 19)'),
  hostile(
    'a file in the parent folder',
    map({ a: '../a.safetensors' }),
    'names a file that is not directly in its folder',
  ),
  hostile(
    'a file with an absolute path',
    map({ a: '/a.safetensors' }),
    'names a file that is not directly in its folder',
  ),
  hostile(
    'a file in a folder below',
    map({ a: 'x/a.safetensors' }),
    'names a file that is not directly in its folder',
  ),
  hostile(
    'a file behind a backslash',
    map({ a: '..\\a.safetensors' }),
    'names a file that is not directly in its folder',
  ),
  hostile(
    'a file on a drive',
    map({ a: 'C:a.safetensors' }),
    'names a file that is not directly in its folder',
  ),
  hostile('a file with a null byte', map({ a: 'a\0.safetensors' }), 'names a file with control characters'),
  hostile('a hidden file', map({ a: '.safetensors' }), 'names a file that is not *.safetensors'),
  hostile('a file of another kind', map({ a: 'a.bin' }), 'names a file that is not *.safetensors'),
  hostile(
    'a file name of 256 bytes',
    map({ a: `${'a'.repeat(244)}.safetensors` }),
    'has a string of more than 255 bytes (JSON position 20)',
  ),
  hostile(
    'metadata nested 17 levels deep',
    text(`{"metadata":${'['.repeat(17)}${']'.repeat(17)}}`),
    'is nested too deep (JSON position 28)',
  ),
  hostile(
    'metadata with a bad number',
    text('{"metadata":{"total_size":01}}'),
    'has a number with a leading zero (JSON position 26)',
  ),
  hostile('metadata with a bad word', text('{"metadata":nil}'), 'needs a JSON value (JSON position 12)'),
  hostile(
    'too many other keys',
    text(JSON.stringify(Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, 1])))),
    'has more than 64 keys besides its weight_map',
  ),
  hostile(
    'more than 4096 files',
    map(Object.fromEntries(Array.from({ length: 4097 }, (_, i) => [`t${i}`, `${i}.safetensors`]))),
    'names more than 4096 files',
  ),
  hostile('more than 1048576 tensors', manyTensors(1_048_577), 'has more than 1048576 tensors in its index'),
  hostile(
    'more than 128 MiB',
    new Uint8Array(128 * 1024 * 1024 + 1),
    'is an index of more than 134217728 bytes',
  ),
];
