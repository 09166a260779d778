import { type Refuse, tensorCalled } from './refusal.js';
import type { TensorEntry } from './tensors.js';

/** No type of ggml takes more than eight bytes an element. */
const MOST_ELEMENT_BYTES = 8;
/** Bytes that a type may add to a whole tensor, such as one scale. */
const TENSOR_EXTRA_BYTES = 64;

/**
 * The length of a tensor of a type with unknown size: up to `end`, where the next tensor starts or the file ends,
 * padding included. Errors: INVALID_INPUT if that cannot be its length.
 */
export function lengthUpTo(
  end: number,
  tensor: TensorEntry,
  elements: number,
  alignment: number,
  refuse: Refuse,
): number {
  if (elements === 0) return 0;
  const byteLength = end - tensor.byteOffset;
  if (byteLength <= 0 || byteLength >= MOST_ELEMENT_BYTES * elements + alignment) {
    throw refuse(
      `has ${tensorCalled(tensor.name)} of the unknown type ${typeOf(tensor)}, and no offset from which its size follows`,
    );
  }
  return byteLength;
}

/**
 * The last tensor is assumed to end with the file, so a truncated file would look complete. Other tensors of its type
 * with rows of the same length give the least size of a row. Errors: INVALID_INPUT for fewer bytes than that.
 */
export function checkLastLength(tensors: readonly TensorEntry[], alignment: number, refuse: Refuse): void {
  const last = tensors.at(-1);
  if (last?.encoding !== 'unknown') return;
  const rows = rowsOf(last);
  for (const other of tensors) {
    if (other === last || other.dtype !== last.dtype || other.shape[0] !== last.shape[0]) continue;
    const least = other.byteLength - alignment - TENSOR_EXTRA_BYTES;
    if (last.byteLength * rowsOf(other) < least * rows)
      throw refuse(`has ${tensorCalled(last.name)} that ends after the file`);
  }
}

/** The name of an unknown type in lists. */
export function dtypeOf(type: number): string {
  return `TYPE_${type}`;
}

function typeOf({ dtype }: TensorEntry): string {
  return dtype.replace('TYPE_', '');
}

function rowsOf({ shape }: TensorEntry): number {
  return shape.slice(1).reduce((product, dimension) => product * dimension, 1);
}
