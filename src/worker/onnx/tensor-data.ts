import type { TensorData, TensorOutputData, TensorType } from '../../api-schema/index.js';
import { invalidInput } from '../../base/index.js';

/** Bytes of one element, as JSON carries it and as the engine holds it. */
const ELEMENT_BYTES: Readonly<Record<TensorType, number>> = {
  float32: 4,
  float16: 2,
  float64: 8,
  int8: 1,
  uint8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  uint32: 4,
  int64: 8,
  uint64: 8,
  bool: 1,
};

const VIEWS = {
  float32: Float32Array,
  // The engine takes its bits.
  float16: Uint16Array,
  float64: Float64Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const satisfies Record<TensorType, unknown>;

/** Bytes of a tensor in one event. In base64 they stay a fifth below the megabyte limit of an event. */
const PART_BYTES = 600_000;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** A tensor's elements, and its shape. */
export interface Decoded {
  readonly type: TensorType;
  readonly dims: readonly number[];
  readonly data: InstanceType<(typeof VIEWS)[TensorType]>;
}

/** Errors: INVALID_INPUT naming the input where its data is not base64, or not as long as its shape. */
export function decodeTensor(name: string, { type, dims, data }: TensorData): Decoded {
  const argument = `inputs.${name.slice(0, 64)}`;
  if (!BASE64.test(data)) throw invalidInput(argument, 'must have "data" in base64');
  const bytes = Buffer.from(data, 'base64');
  const elements = dims.reduce((product, size) => product * size, 1);
  const expected = elements * ELEMENT_BYTES[type];
  if (bytes.length !== expected) {
    throw invalidInput(
      argument,
      `has ${bytes.length} bytes of data; ${type} of shape [${dims}] takes ${expected}`,
    );
  }
  // A copy, aligned for every element type.
  const buffer = new ArrayBuffer(bytes.length);
  new Uint8Array(buffer).set(bytes);
  return { type, dims, data: new VIEWS[type](buffer) };
}

export function isTensorType(type: string): type is TensorType {
  return Object.hasOwn(ELEMENT_BYTES, type);
}

export function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** An output in parts that each fit into an event. One without elements is one part. */
export function* tensorOutputs(
  name: string,
  type: TensorType,
  dims: readonly number[],
  bytes: Buffer,
): Generator<TensorOutputData> {
  let offset = 0;
  do {
    const part = bytes.subarray(offset, offset + PART_BYTES);
    yield { name, type, dims, offset, byteLength: bytes.length, data: part.toString('base64') };
    offset += PART_BYTES;
  } while (offset < bytes.length);
}
