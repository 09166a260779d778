/** ONNX's names of element types that safetensors also has, with the same layout. */
const SAFETENSORS_WORDS: ReadonlyMap<string, string> = new Map([
  ['UINT8', 'U8'],
  ['INT8', 'I8'],
  ['UINT16', 'U16'],
  ['INT16', 'I16'],
  ['UINT32', 'U32'],
  ['INT32', 'I32'],
  ['UINT64', 'U64'],
  ['INT64', 'I64'],
  ['FLOAT16', 'F16'],
  ['BFLOAT16', 'BF16'],
  ['FLOAT', 'F32'],
  ['DOUBLE', 'F64'],
  ['COMPLEX64', 'C64'],
  ['FLOAT8E4M3FN', 'F8_E4M3'],
  ['FLOAT8E4M3FNUZ', 'F8_E4M3FNUZ'],
  ['FLOAT8E5M2', 'F8_E5M2'],
  ['FLOAT8E5M2FNUZ', 'F8_E5M2FNUZ'],
  ['FLOAT8E8M0', 'F8_E8M0'],
]);

/**
 * The dtype in safetensors' names (`F32`, `BF16`, `F8_E4M3`), so that a model compares equal in all formats. A type
 * that safetensors lacks keeps its format's name: `Q4_K`, `INT4`, `STRING`. GGUF's plain types have the same names.
 */
export function safetensorsDtype(dtype: string): string {
  return SAFETENSORS_WORDS.get(dtype) ?? dtype;
}
