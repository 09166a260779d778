import { concat, field, onnxExternal, onnxFile, onnxNode, onnxTensor, varint } from '../build.mjs';
import { type HostileCase, hostile } from './case.js';

const withTensor = (tensor: Parameters<typeof onnxTensor>[0]): Uint8Array =>
  onnxFile({ initializers: [onnxTensor(tensor)] });
const withExternal = (entries: Record<string, string>, more: Uint8Array[] = []): Uint8Array =>
  withTensor({ raw: null, fields: [...onnxExternal(entries), ...more] });
const at = (location: string): Uint8Array => withExternal({ location });
const nested = (levels: number): Uint8Array => {
  let graph = field(2, 'leaf');
  for (let i = 0; i < levels; i++) {
    graph = concat(onnxNode('o', concat(field(1, 'body'), field(6, graph))));
  }
  return concat(field(1, 8), field(7, graph));
};
const packed = (count: number): Uint8Array => new Uint8Array(count);
const outside = 'has the tensor "w" in a file outside the folder of the model';
const absolute = 'has the tensor "w" in a file with an absolute path';

export const ONNX_CASES: readonly HostileCase[] = [
  hostile('an empty file', new Uint8Array(0), 'is empty'),
  hostile('text', new TextEncoder().encode('hello, world'), 'has a protobuf field of an unknown wire type'),
  hostile(
    'a model without ir_version',
    onnxFile({ version: [] }),
    'is not an ONNX model: it has no ir_version, or several',
  ),
  hostile(
    'two versions',
    onnxFile({ fields: [field(1, 8)] }),
    'is not an ONNX model: it has no ir_version, or several',
  ),
  hostile(
    'a version that is text',
    onnxFile({ version: [field(1, 'eight')] }),
    'has an ir_version of a wrong protobuf wire type',
  ),
  hostile('no graph', field(1, 8), 'has no graph'),
  hostile('two graphs', onnxFile({ fields: [field(7, '')] }), 'has two graphs'),
  hostile(
    'a graph that is a number',
    concat(field(1, 8), field(7, 5)),
    'has a graph of a wrong protobuf wire type',
  ),
  hostile(
    'a graph that ends after the file',
    concat(field(1, 8), field(7, 'abc', 1000)),
    'has a protobuf field that ends after its message',
  ),
  hostile(
    'a length of 2^63',
    concat(field(1, 8), field(7, 'abc', 2n ** 63n)),
    'has a protobuf field that ends after its message',
  ),
  hostile(
    'a node that ends after its graph',
    concat(field(1, 8), field(7, field(1, 'abc', 50)), new Uint8Array(100)),
    'has a protobuf field that ends after its message',
  ),
  hostile('field number 0', onnxFile({ fields: [field(0, 1)] }), 'has a protobuf field with a bad number'),
  hostile(
    'a field number over 2^29',
    onnxFile({ fields: [field(2 ** 29, 1)] }),
    'has a protobuf field with a bad number',
  ),
  hostile(
    'a protobuf group',
    onnxFile({ fields: [varint(9 * 8 + 3)] }),
    'has a protobuf field of an unknown wire type',
  ),
  hostile(
    'wire type 7',
    onnxFile({ fields: [varint(9 * 8 + 7)] }),
    'has a protobuf field of an unknown wire type',
  ),
  hostile(
    'a varint of eleven bytes',
    onnxFile({ fields: [varint(9 * 8), new Uint8Array(11).fill(0x80)] }),
    'has a protobuf varint of more than 64 bits',
  ),
  hostile(
    'a varint of 65 bits',
    onnxFile({ fields: [varint(9 * 8), new Uint8Array(9).fill(0xff), Uint8Array.of(2)] }),
    'has a protobuf varint of more than 64 bits',
  ),
  hostile(
    'a varint cut short',
    onnxFile({ fields: [varint(9 * 8), Uint8Array.of(0x80)] }),
    'has a protobuf varint that ends after its message',
  ),
  hostile(
    'a varint that ends after its graph',
    concat(field(1, 8), field(7, Uint8Array.of(0x80)), field(2, 'x')),
    'has a protobuf varint that ends after its message',
  ),
  hostile(
    'a tag cut short',
    onnxFile({ fields: [Uint8Array.of(0x80)] }),
    'has a protobuf varint that ends after its message',
  ),
  hostile(
    'a fixed64 cut short',
    onnxFile({ fields: [varint(9 * 8 + 1), new Uint8Array(7)] }),
    'has a protobuf field that ends after its message',
  ),
  hostile(
    'a tensor that is a number',
    onnxFile({ graph: [field(5, 1)] }),
    'has an initializer of a wrong protobuf wire type',
  ),
  hostile(
    'a name that is not UTF-8',
    onnxFile({ initializers: [onnxTensor({ name: null, fields: [field(8, Uint8Array.of(0xff))] })] }),
    'has a tensor name that is not UTF-8',
  ),
  hostile(
    'a name of 1025 bytes',
    withTensor({ name: 'n'.repeat(1025) }),
    'has a tensor name of more than 1024 bytes',
  ),
  hostile(
    'a name with a line break',
    withTensor({ name: 'a\nb' }),
    'has a tensor name with control characters',
  ),
  hostile('a tensor without a name', withTensor({ name: null }), 'has a tensor without a name'),
  hostile('a name twice', withTensor({ fields: [field(8, 'v')] }), 'has name twice in the tensor "w"'),
  hostile(
    'a data_type twice',
    withTensor({ fields: [field(2, 1)] }),
    'has data_type twice in the tensor "w"',
  ),
  hostile(
    'a tensor twice',
    onnxFile({ initializers: [onnxTensor(), onnxTensor()] }),
    'has the tensor "w" twice',
  ),
  hostile(
    'an initializer called like a constant',
    onnxFile({ graph: [onnxNode('w', concat(field(1, 'value'), field(5, onnxTensor())))] }),
    'has the tensor "w" twice',
  ),
  hostile(
    'an external tensor called like an internal one',
    onnxFile({
      initializers: [onnxTensor(), onnxTensor({ raw: null, fields: onnxExternal({ location: 'x' }) })],
    }),
    'has the tensor "w" twice',
  ),
  hostile('no data_type', withTensor({ type: null }), 'has the tensor "w" of an unknown data_type'),
  hostile('an unknown data_type', withTensor({ type: 27 }), 'has the tensor "w" of an unknown data_type'),
  hostile(
    'a negative dimension',
    withTensor({ dims: [-2] }),
    'has a tensor with a dimension that is negative or beyond 2^53 - 1',
  ),
  hostile(
    'a dimension of 2^53',
    withTensor({ dims: [2 ** 53] }),
    'has a tensor with a dimension that is negative or beyond 2^53 - 1',
  ),
  hostile(
    'seventeen dimensions',
    withTensor({ dims: Array(17).fill(1) }),
    'has a tensor with more than 16 dimensions',
  ),
  hostile(
    'a product of dimensions over 2^53',
    withTensor({ dims: [2 ** 27, 2 ** 27] }),
    'has the tensor "w" with more than 2^53 - 1 elements',
  ),
  hostile(
    'a size over 2^53 bits',
    withTensor({ type: 11, dims: [2 ** 50] }),
    'has the tensor "w" with more than 2^53 - 1 bits',
  ),
  hostile(
    'raw_data that is too short',
    withTensor({ raw: 7 }),
    'has the tensor "w" whose shape and data_type need 8 bytes, not 7',
  ),
  hostile(
    'raw_data that is too long',
    withTensor({ raw: 9 }),
    'has the tensor "w" whose shape and data_type need 8 bytes, not 9',
  ),
  hostile(
    'raw_data for no element',
    withTensor({ dims: [0] }),
    'has the tensor "w" whose shape and data_type need 0 bytes, not 8',
  ),
  hostile('no values', withTensor({ raw: null }), 'has the tensor "w" without values'),
  hostile(
    'raw_data twice',
    withTensor({ fields: [field(9, new Uint8Array(8))] }),
    'has the values of the tensor "w" twice',
  ),
  hostile(
    'raw_data and float_data',
    withTensor({ fields: [field(4, new Uint8Array(8))] }),
    'has the values of the tensor "w" twice',
  ),
  hostile(
    'raw_data and strings',
    withTensor({ type: 8, fields: [field(6, 'a')] }),
    'has the values of the tensor "w" twice',
  ),
  hostile('raw_data of strings', withTensor({ type: 8 }), 'has the tensor "w" of strings in raw bytes'),
  hostile(
    'raw_data that is a number',
    withTensor({ raw: null, fields: [field(9, 5)] }),
    'has the tensor "w" with values that are not packed',
  ),
  hostile(
    'floats that are not packed',
    withTensor({ raw: null, fields: [concat(varint(4 * 8 + 5), new Uint8Array(4))] }),
    'has the tensor "w" with values that are not packed',
  ),
  hostile(
    'floats in int64_data',
    withTensor({ raw: null, fields: [field(7, packed(2))] }),
    'has the tensor "w" with values in the field of another data_type',
  ),
  hostile(
    'too few floats',
    withTensor({ raw: null, fields: [field(4, packed(4))] }),
    'has the tensor "w" whose shape and data_type need 8 bytes, not 4',
  ),
  hostile(
    'too few integers',
    withTensor({ type: 7, raw: null, fields: [field(7, packed(1))] }),
    'has the tensor "w" whose shape needs 2 values, not 1',
  ),
  hostile(
    'too many integers',
    withTensor({ type: 6, raw: null, fields: [field(5, packed(3))] }),
    'has the tensor "w" whose shape needs 2 values, not 3',
  ),
  hostile(
    'too few strings',
    withTensor({ type: 8, raw: null, fields: [field(6, 'one')] }),
    'has the tensor "w" whose shape needs 2 values, not 1',
  ),
  hostile(
    'integers that end inside a varint',
    withTensor({ type: 7, raw: null, fields: [field(7, Uint8Array.of(1, 0x80))] }),
    'has the tensor "w" whose values end inside a varint',
  ),
  hostile(
    'an integer of eleven bytes',
    withTensor({ type: 7, raw: null, fields: [field(7, new Uint8Array(11).fill(0x80))] }),
    'has a protobuf varint of more than 64 bits',
  ),
  hostile(
    'a tensor in segments',
    withTensor({ fields: [field(3, '')] }),
    'has the tensor "w" in segments, which are not supported',
  ),
  hostile('graphs nested 17 levels deep', nested(17), 'has graphs nested deeper than 16 levels'),
  hostile('graphs nested 2000 levels deep', nested(2000), 'has graphs nested deeper than 16 levels'),
  hostile(
    'external data without a location',
    withExternal({ offset: '0' }),
    'has the tensor "w" outside the file without a location',
  ),
  hostile(
    'external data with raw_data',
    withTensor({ fields: onnxExternal({ location: 'x' }) }),
    'has the values of the tensor "w" inside and outside the file',
  ),
  hostile(
    'external data but no data_location',
    withTensor({ fields: onnxExternal({ location: 'x' }).slice(0, 1) }),
    'has the tensor "w" with external_data but no data_location',
  ),
  hostile(
    'an unknown data_location',
    withTensor({ fields: [field(14, 2)] }),
    'has the tensor "w" with an unknown data_location',
  ),
  hostile(
    'a data_location twice',
    withExternal({ location: 'x' }, [field(14, 1)]),
    'has data_location twice in the tensor "w"',
  ),
  hostile(
    'a location twice',
    withExternal({ location: 'x' }, onnxExternal({ location: 'y' }).slice(0, 1)),
    'has an external_data key twice in the tensor "w"',
  ),
  hostile(
    'an entry without a value',
    withExternal({ location: 'x' }, [field(13, field(1, 'offset'))]),
    'has the tensor "w" with external_data that lacks a key or value',
  ),
  hostile(
    'an entry with two values',
    withExternal({ location: 'x' }, [field(13, concat(field(1, 'a'), field(2, 'b'), field(2, 'c')))]),
    'has an external_data value twice in the tensor "w"',
  ),
  hostile(
    'seventeen entries',
    withExternal({
      location: 'x',
      ...Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`k${i}`, ''])),
    }),
    'has the tensor "w" with more than 16 external_data entries',
  ),
  hostile('external data in the parent folder', at('../weights.bin'), outside),
  hostile('external data behind ..', at('a/../../weights.bin'), outside),
  hostile('external data behind .. that stays inside', at('a/../weights.bin'), outside),
  hostile('external data behind ..\\', at('..\\weights.bin'), outside),
  hostile('external data in ..', at('..'), outside),
  hostile('an absolute location', at('/etc/passwd'), absolute),
  hostile('a location on a drive', at('C:\\weights.bin'), absolute),
  hostile('a location on a network', at('\\\\server\\weights.bin'), absolute),
  hostile(
    'a location with a backslash',
    at('a\\weights.bin'),
    'has the tensor "w" in a file with a backslash in its name',
  ),
  hostile(
    'a location with a null byte',
    at('weights.bin\0.txt'),
    'has the tensor "w" in a file with control characters in its name',
  ),
  hostile('an empty location', at(''), 'has the tensor "w" in a file without a name'),
  hostile('the folder itself as location', at('./'), 'has the tensor "w" in a file without a name'),
  hostile(
    'a location of 1025 bytes',
    at('w'.repeat(1025)),
    'has an external_data value of more than 1024 bytes',
  ),
  hostile(
    'a negative offset',
    withExternal({ location: 'x', offset: '-1' }),
    'has the tensor "w" with an offset or length that is not a number of bytes',
  ),
  hostile(
    'an offset in hexadecimal',
    withExternal({ location: 'x', offset: '0x10' }),
    'has the tensor "w" with an offset or length that is not a number of bytes',
  ),
  hostile(
    'an offset of 2^53',
    withExternal({ location: 'x', offset: '9007199254740992' }),
    'has the tensor "w" with an offset or length that is not a number of bytes',
  ),
  hostile(
    'a length that is not shape x data_type',
    withExternal({ location: 'x', length: '9' }),
    'has the tensor "w" whose shape and data_type need 8 bytes, not 9',
  ),
  hostile(
    'more than 131072 tensors',
    onnxFile({
      initializers: Array.from({ length: 131_073 }, (_, i) =>
        onnxTensor({ name: `${i}`, dims: [0], raw: null }),
      ),
    }),
    'has more than 131072 tensors',
  ),
  hostile(
    'more than 16 MiB of names',
    onnxFile({
      initializers: Array.from({ length: 16_600 }, (_, i) =>
        onnxTensor({ name: `${i}${'n'.repeat(1013)}`, dims: [0], raw: null }),
      ),
    }),
    'has more than 16777216 bytes of tensor names',
  ),
  hostile(
    'names that nesting makes too long',
    onnxFile({
      graph: [
        onnxNode(
          'o'.repeat(600),
          concat(field(1, 'body'), field(6, field(5, onnxTensor({ name: 'n'.repeat(600) })))),
        ),
      ],
    }),
    'has a tensor name of more than 1024 bytes',
  ),
  hostile(
    'more than 4096 external files',
    onnxFile({
      initializers: Array.from({ length: 4097 }, (_, i) =>
        onnxTensor({ name: `${i}`, raw: null, fields: onnxExternal({ location: `${i}` }) }),
      ),
    }),
    'names more than 4096 external files',
  ),
];
