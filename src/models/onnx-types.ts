/** Fields of TensorProto that hold values, by field number. */
export const VALUE_FIELDS = {
  floatData: 4,
  int32Data: 5,
  stringData: 6,
  int64Data: 7,
  rawData: 9,
  doubleData: 10,
  uint64Data: 11,
} as const;

export interface OnnxType {
  readonly name: string;
  /** Of one element; 0 for strings. */
  readonly bits: number;
  /** The field that holds values of this type if raw_data does not. */
  readonly field: number;
  /** Entries of that field that hold `elements` elements. */
  readonly entries: (elements: number) => number;
}

const one = (elements: number): number => elements;
const two = (elements: number): number => 2 * elements;
const packed =
  (perEntry: number) =>
  (elements: number): number =>
    Math.ceil(elements / perEntry);

const { floatData, int32Data, stringData, int64Data, doubleData, uint64Data } = VALUE_FIELDS;
const type = (
  name: string,
  bits: number,
  field: number,
  entries: (elements: number) => number = one,
): OnnxType => ({ name, bits, field, entries });

/** TensorProto.DataType, by number. */
export const ONNX_TYPES: ReadonlyMap<number, OnnxType> = new Map([
  [1, type('FLOAT', 32, floatData)],
  [2, type('UINT8', 8, int32Data)],
  [3, type('INT8', 8, int32Data)],
  [4, type('UINT16', 16, int32Data)],
  [5, type('INT16', 16, int32Data)],
  [6, type('INT32', 32, int32Data)],
  [7, type('INT64', 64, int64Data)],
  [8, type('STRING', 0, stringData)],
  [9, type('BOOL', 8, int32Data)],
  [10, type('FLOAT16', 16, int32Data)],
  [11, type('DOUBLE', 64, doubleData)],
  [12, type('UINT32', 32, uint64Data)],
  [13, type('UINT64', 64, uint64Data)],
  [14, type('COMPLEX64', 64, floatData, two)],
  [15, type('COMPLEX128', 128, doubleData, two)],
  [16, type('BFLOAT16', 16, int32Data)],
  [17, type('FLOAT8E4M3FN', 8, int32Data)],
  [18, type('FLOAT8E4M3FNUZ', 8, int32Data)],
  [19, type('FLOAT8E5M2', 8, int32Data)],
  [20, type('FLOAT8E5M2FNUZ', 8, int32Data)],
  [21, type('UINT4', 4, int32Data, packed(2))],
  [22, type('INT4', 4, int32Data, packed(2))],
  [23, type('FLOAT4E2M1', 4, int32Data, packed(2))],
  [24, type('FLOAT8E8M0', 8, int32Data)],
  [25, type('UINT2', 2, int32Data, packed(4))],
  [26, type('INT2', 2, int32Data, packed(4))],
]);
