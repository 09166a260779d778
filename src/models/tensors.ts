import { checkInteger, invalidInput, MAX_INTEGER } from '../base/index.js';
import { type Refuse, tensorCalled } from './refusal.js';

/** One tensor of a shard. */
export interface TensorEntry {
  readonly name: string;
  /** In the format's terms: `F32`, `BF16`, `Q4_K`, `FLOAT`. */
  readonly dtype: string;
  /** Elements in each dimension, in the format's own order; empty for a scalar. */
  readonly shape: readonly number[];
  /** Bytes from the start of the shard. */
  readonly byteOffset: number;
  readonly byteLength: number;
  /**
   * `raw`: the range holds the elements alone, one after the other, little-endian. `protobuf`: the range is an ONNX
   * TensorProto that holds them as varints or strings. `unknown`: a GGUF type without a size here, of which the range goes
   * up to the next tensor or the end of the file, padding included.
   */
  readonly encoding: 'raw' | 'protobuf' | 'unknown';
}

/** The tensors of one file. */
export type TensorIndex = readonly TensorEntry[];

/** Bounds that keep a reader's memory small for any file; far beyond models in use. */
export const TENSOR_LIMITS = {
  tensors: 131_072,
  rank: 16,
  nameBytes: 1024,
  /** All names of one file together. */
  allNameBytes: 16 * 1024 * 1024,
} as const;

const CONTROL = /[\p{Cc}\u2028\u2029]/u;

/** The index of one file while it is read: counts, names and their uniqueness are checked as entries come. */
export class TensorIndexBuilder {
  readonly #refuse: Refuse;
  readonly #entries: TensorEntry[] = [];
  readonly #names = new Set<string>();
  #nameBytes = 0;

  constructor(refuse: Refuse) {
    this.#refuse = refuse;
  }

  add(entry: TensorEntry): void {
    checkTensorName(entry.name, this.#refuse);
    if (this.#entries.length >= TENSOR_LIMITS.tensors) {
      throw this.#refuse(`has more than ${TENSOR_LIMITS.tensors} tensors`);
    }
    this.#nameBytes += entry.name.length;
    if (this.#nameBytes > TENSOR_LIMITS.allNameBytes) {
      throw this.#refuse(`has more than ${TENSOR_LIMITS.allNameBytes} bytes of tensor names`);
    }
    if (this.#names.has(entry.name)) throw this.#refuse(`has ${tensorCalled(entry.name)} twice`);
    this.#names.add(entry.name);
    this.#entries.push(entry);
  }

  /** In the order of their bytes. */
  finish(): TensorEntry[] {
    return inByteOrder(this.#entries);
  }
}

/** Sorted by offset; tensors without bytes come before the one at the same offset. */
export function inByteOrder(entries: TensorEntry[]): TensorEntry[] {
  return entries.sort((a, b) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength);
}

export function checkTensorName(name: string, refuse: Refuse): void {
  if (name.length === 0) throw refuse('has a tensor without a name');
  if (CONTROL.test(name)) throw refuse('has a tensor name with control characters');
}

/** Product of the dimensions; 1 for a scalar. */
export function elementCount(shape: readonly number[], name: string, refuse: Refuse): number {
  let count = 1;
  for (const dimension of shape) {
    if (dimension === 0) return 0;
    // Below 2^53 both factors are exact, and a product that rounds is itself at least 2^53.
    count *= dimension;
    if (count > MAX_INTEGER) throw refuse(`has ${tensorCalled(name)} with more than 2^53 - 1 elements`);
  }
  return count;
}

/** Bytes of `elements` elements of `bits` bits. */
export function bytesOfElements(elements: number, bits: number, name: string, refuse: Refuse): number {
  const total = elements * bits;
  if (total > MAX_INTEGER) throw refuse(`has ${tensorCalled(name)} with more than 2^53 - 1 bits`);
  if (total % 8 !== 0) throw refuse(`has ${tensorCalled(name)} that ends inside a byte`);
  return total / 8;
}

/** A tensor and the shard that holds it. */
export interface FoundTensor<Shard> {
  readonly shard: Shard;
  readonly tensor: TensorEntry;
}

/** Built at the first search of an index, so that looking up all of its tensors takes linear time. */
const byName = new WeakMap<TensorIndex, ReadonlyMap<string, TensorEntry>>();

function namesOf(tensors: TensorIndex): ReadonlyMap<string, TensorEntry> {
  const known = byName.get(tensors);
  if (known !== undefined) return known;
  const names = new Map<string, TensorEntry>();
  // Of two tensors with one name the first counts.
  for (const tensor of tensors) if (!names.has(tensor.name)) names.set(tensor.name, tensor);
  byName.set(tensors, names);
  return names;
}

/** The tensor of that name. Errors: INVALID_INPUT if there is none. */
export function findTensor<Shard extends { readonly tensors: TensorIndex }>(
  model: { readonly shards: readonly Shard[] },
  name: string,
): FoundTensor<Shard> {
  for (const shard of model.shards) {
    const tensor = namesOf(shard.tensors).get(name);
    if (tensor !== undefined) return { shard, tensor };
  }
  throw invalidInput('tensor', 'names no tensor of this model');
}

/**
 * The bytes of a tensor, or of a part of it, in its shard: what `execute` takes as `tensor`. `offset` counts from the
 * tensor's first byte. Errors: INVALID_INPUT if the part leaves the tensor, or if the tensor's elements are
 * stored as protobuf values.
 */
export function tensorRange(
  tensor: TensorEntry,
  offset = 0,
  length = tensor.byteLength - offset,
): { readonly byteOffset: number; readonly byteLength: number } {
  if (tensor.encoding === 'protobuf') {
    throw invalidInput('tensor', 'is stored as protobuf values, not as raw bytes: it has no range to lease');
  }
  checkInteger('offset', offset, 0, tensor.byteLength);
  checkInteger('length', length, 0, tensor.byteLength - offset);
  return { byteOffset: tensor.byteOffset + offset, byteLength: length };
}
