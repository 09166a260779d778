type Part = string | number | Uint8Array;
type Integer = number | bigint;
export function concat(...parts: Part[]): Uint8Array;
export function join(parts: readonly Part[]): Uint8Array;
export function u32(value: number): Uint8Array;
export function u64(value: Integer): Uint8Array;
export function safetensorsFile(
  header: unknown,
  data?: number | Uint8Array,
  headerLength?: Integer,
): Uint8Array;
export function ggufString(text: string | Uint8Array, length?: Integer): Uint8Array;
export function ggufKey(key: string, type: number, value: Uint8Array): Uint8Array;
export function ggufTensor(tensor?: {
  name?: string;
  dims?: Integer[];
  type?: number;
  offset?: Integer;
  rank?: number;
}): Uint8Array;
export function ggufFile(file?: {
  magic?: string;
  version?: number;
  tensors?: Uint8Array[];
  keys?: Uint8Array[];
  tensorCount?: Integer;
  keyCount?: Integer;
  data?: number | Uint8Array;
  alignment?: number;
}): Uint8Array;
export function varint(value: Integer): Uint8Array;
export function field(number: number, value: Integer | string | Uint8Array, length?: Integer): Uint8Array;
export function onnxTensor(tensor?: {
  name?: string | null;
  type?: number | null;
  dims?: Integer[];
  raw?: number | Uint8Array | null;
  fields?: Uint8Array[];
}): Uint8Array;
export function onnxExternal(entries: Record<string, string>): Uint8Array[];
export function onnxNode(output: string, attribute: Uint8Array): Uint8Array;
export function onnxFile(file?: {
  initializers?: Uint8Array[];
  graph?: Uint8Array[];
  fields?: Uint8Array[];
  version?: Uint8Array[];
}): Uint8Array;
