import { ByteCursor } from './byte-cursor.js';
import {
  GGUF_ARRAY,
  GGUF_BOOL,
  GGUF_STRING,
  GGUF_TYPES,
  GGUF_UINT32,
  GGUF_VALUE_BYTES,
} from './gguf-types.js';
import { checkLastLength, dtypeOf, lengthUpTo } from './gguf-unknown.js';
import type { RandomAccess } from './random-access.js';
import { quoted, type Refuse, refusalOf, tensorCalled } from './refusal.js';
import {
  bytesOfElements,
  elementCount,
  TENSOR_LIMITS,
  type TensorEntry,
  type TensorIndex,
  TensorIndexBuilder,
} from './tensors.js';
import { decodeUtf8 } from './utf8.js';

const MAGIC = 0x46554747;
const HEADER_BYTES = 24;
const DEFAULT_ALIGNMENT = 32;
const MAX_ALIGNMENT = 2 ** 31;
const MAX_RANK = 4;
const MAX_KEYS = 65_536;
const MAX_ARRAY_DEPTH = 8;
const SPLIT_KEYS: ReadonlyMap<string, keyof GgufSplit> = new Map([
  ['split.no', 'number'],
  ['split.count', 'count'],
  ['split.tensors.count', 'tensors'],
]);
/** Of uint16, int16, uint32 and int32, by the numbers of these types. */
const COUNT_BYTES: ReadonlyMap<number, number> = new Map([
  [2, 2],
  [3, 2],
  [4, 4],
  [5, 4],
]);
/** The least bytes of one tensor's entry: its name's length and one character, rank, type, offset. */
const LEAST_TENSOR_BYTES = 8 + 1 + 4 + 4 + 8;
/** The least bytes of one key: its length and one character, type, a value of one byte. */
const LEAST_KEY_BYTES = 8 + 1 + 4 + 1;

/**
 * The tensors of one GGUF file (versions 2 and 3, little-endian), in the order of their bytes. Reads only the header;
 * metadata of any size is checked and skipped through one small window.
 *
 * Errors: INVALID_INPUT, naming `what`.
 */
export async function readGguf(access: RandomAccess, what = 'file'): Promise<TensorIndex> {
  return (await readGgufPart(access, what)).tensors;
}

/** A GGUF file's own data on the split that it is a part of; null where missing. */
export interface GgufSplit {
  /** From 0. */
  readonly number: number | null;
  readonly count: number | null;
  /** Of all parts together. */
  readonly tensors: number | null;
}

/** The same, with the file's split metadata. */
export async function readGgufPart(
  access: RandomAccess,
  what = 'file',
): Promise<{ readonly tensors: TensorIndex; readonly split: GgufSplit }> {
  const reader = new GgufReader(access, refusalOf(what));
  return { tensors: await reader.read(), split: reader.split };
}

class GgufReader {
  readonly #access: RandomAccess;
  readonly #cursor: ByteCursor;
  readonly #refuse: Refuse;
  readonly #split: Record<keyof GgufSplit, number | null> = { number: null, count: null, tensors: null };
  #alignment = DEFAULT_ALIGNMENT;

  constructor(access: RandomAccess, refuse: Refuse) {
    this.#access = access;
    this.#refuse = refuse;
    this.#cursor = new ByteCursor(access, 0, refuse);
  }

  /** Once it was read. */
  get split(): GgufSplit {
    return this.#split;
  }

  async read(): Promise<TensorIndex> {
    const { tensorCount, keyCount } = await this.#header();
    await this.#metadata(keyCount);
    const infos = await this.#tensorInfos(tensorCount);
    return this.#place(infos);
  }

  async #header(): Promise<{ tensorCount: number; keyCount: number }> {
    if (this.#access.byteLength < HEADER_BYTES)
      throw this.#refuse('is too short for a GGUF file: fewer than 24 bytes');
    await this.#cursor.fill(HEADER_BYTES);
    if (this.#cursor.u32() !== MAGIC) throw this.#refuse('does not start with GGUF');
    const version = this.#cursor.u32();
    if (version === 0x02000000 || version === 0x03000000) {
      throw this.#refuse('is a big-endian GGUF file, which is not supported');
    }
    if (version !== 2 && version !== 3)
      throw this.#refuse(`is GGUF of version ${version}; versions 2 and 3 are known`);
    const tensorCount = this.#cursor.u64('a tensor count');
    const keyCount = this.#cursor.u64('a metadata count');
    if (tensorCount > this.#cursor.remaining / LEAST_TENSOR_BYTES) {
      throw this.#refuse('counts more tensors than its bytes can hold');
    }
    if (keyCount > this.#cursor.remaining / LEAST_KEY_BYTES) {
      throw this.#refuse('counts more metadata than its bytes can hold');
    }
    if (tensorCount > TENSOR_LIMITS.tensors)
      throw this.#refuse(`has more than ${TENSOR_LIMITS.tensors} tensors`);
    if (keyCount > MAX_KEYS) throw this.#refuse(`has more than ${MAX_KEYS} metadata keys`);
    return { tensorCount, keyCount };
  }

  async #metadata(count: number): Promise<void> {
    const keys = new Set<string>();
    for (let i = 0; i < count; i++) {
      const key = await this.#shortString('a metadata key');
      if (key.length === 0) throw this.#refuse('has a metadata key without a name');
      if (keys.has(key)) throw this.#refuse(`has the metadata key ${quoted(key)} twice`);
      keys.add(key);
      await this.#need(4);
      const type = this.#cursor.u32();
      const part = SPLIT_KEYS.get(key);
      if (key === 'general.alignment') await this.#readAlignment(type);
      else if (part !== undefined) this.#split[part] = await this.#readCount(key, type);
      else await this.#skipValue(type, MAX_ARRAY_DEPTH);
    }
  }

  async #readAlignment(type: number): Promise<void> {
    if (type !== GGUF_UINT32) throw this.#refuse('has a general.alignment that is not a uint32');
    await this.#need(4);
    const alignment = this.#cursor.u32();
    if (alignment < 8 || alignment > MAX_ALIGNMENT || (alignment & (alignment - 1)) !== 0) {
      throw this.#refuse('has a general.alignment that is not a power of two of at least 8');
    }
    this.#alignment = alignment;
  }

  async #readCount(key: string, type: number): Promise<number> {
    const bytes = COUNT_BYTES.get(type);
    if (bytes === undefined) throw this.#refuse(`has a ${key} that is not an integer of 16 or 32 bits`);
    await this.#need(bytes);
    const value = bytes === 2 ? this.#cursor.u16() : this.#cursor.u32();
    // The sign bit of a signed integer: no count is that large.
    if (value >= 2 ** 31) throw this.#refuse(`has a ${key} that is negative or too large`);
    return value;
  }

  async #skipValue(type: number, depth: number): Promise<void> {
    if (type === GGUF_STRING) return await this.#skipString();
    if (type === GGUF_ARRAY) return await this.#skipArray(depth);
    const bytes = this.#valueBytes(type);
    await this.#need(bytes);
    if (type === GGUF_BOOL && this.#cursor.u8() > 1)
      throw this.#refuse('has a metadata bool that is neither 0 nor 1');
    else if (type !== GGUF_BOOL) this.#cursor.skip(bytes);
  }

  async #skipArray(depth: number): Promise<void> {
    if (depth === 0) throw this.#refuse(`has metadata arrays nested deeper than ${MAX_ARRAY_DEPTH} levels`);
    await this.#need(12);
    const type = this.#cursor.u32();
    const count = this.#cursor.u64('an array length');
    const least = type === GGUF_STRING ? 8 : type === GGUF_ARRAY ? 12 : this.#valueBytes(type);
    if (count > this.#cursor.remaining / least)
      throw this.#refuse('has a metadata array that ends after the file');
    if (type !== GGUF_STRING && type !== GGUF_ARRAY) return this.#cursor.skip(count * least);
    for (let i = 0; i < count; i++) {
      if (type === GGUF_ARRAY) await this.#skipArray(depth - 1);
      else if (!this.#skipHeldString()) await this.#skipString();
    }
  }

  #valueBytes(type: number): number {
    const bytes = GGUF_VALUE_BYTES.get(type);
    if (bytes === undefined) throw this.#refuse(`has a metadata value of the unknown type ${type}`);
    return bytes;
  }

  /** skipString() without waiting, if the length is in memory: vocabularies are long arrays of short strings. */
  #skipHeldString(): boolean {
    if (!this.#cursor.holds(8)) return false;
    this.#skipBytes(this.#cursor.u64('a string length'));
    return true;
  }

  async #skipString(): Promise<void> {
    await this.#need(8);
    this.#skipBytes(this.#cursor.u64('a string length'));
  }

  #skipBytes(length: number): void {
    if (length > this.#cursor.remaining) throw this.#refuse('has a string that ends after the file');
    this.#cursor.skip(length);
  }

  async #shortString(what: string): Promise<string> {
    await this.#need(8);
    const length = this.#cursor.u64(`the length of ${what}`);
    if (length > this.#cursor.remaining) throw this.#refuse(`has ${what} that ends after the file`);
    if (length > TENSOR_LIMITS.nameBytes) {
      throw this.#refuse(`has ${what} of more than ${TENSOR_LIMITS.nameBytes} bytes`);
    }
    await this.#need(length);
    return decodeUtf8(this.#cursor.take(length), what, this.#refuse);
  }

  /** In the order of their bytes, with offsets that still count from the start of the data. */
  async #tensorInfos(count: number): Promise<TensorEntry[]> {
    const tensors = new TensorIndexBuilder(this.#refuse);
    for (let i = 0; i < count; i++) tensors.add(await this.#tensorInfo());
    return tensors.finish();
  }

  async #tensorInfo(): Promise<TensorEntry> {
    const name = await this.#shortString('a tensor name');
    await this.#need(4);
    const rank = this.#cursor.u32();
    if (rank > MAX_RANK)
      throw this.#refuse(`has ${tensorCalled(name)} with more than ${MAX_RANK} dimensions`);
    await this.#need(8 * rank + 12);
    const shape: number[] = [];
    for (let i = 0; i < rank; i++) shape.push(this.#cursor.u64('a dimension'));
    const typeNumber = this.#cursor.u32();
    const byteOffset = this.#cursor.u64('a tensor offset');
    const type = GGUF_TYPES.get(typeNumber);
    const elements = elementCount(shape, name, this.#refuse);
    if (byteOffset % this.#alignment !== 0) {
      throw this.#refuse(`has ${tensorCalled(name)} at an offset that is not aligned`);
    }
    if (type === undefined) {
      // The length is known once all offsets are. Until then, one byte sorts it after empty tensors of the same offset.
      const byteLength = elements === 0 ? 0 : 1;
      return { name, dtype: dtypeOf(typeNumber), shape, byteOffset, byteLength, encoding: 'unknown' };
    }
    if ((shape[0] ?? 1) % type.blockElements !== 0) {
      throw this.#refuse(`has ${tensorCalled(name)} whose rows are not whole blocks of ${type.name}`);
    }
    const byteLength = bytesOfElements(
      elements / type.blockElements,
      8 * type.blockBytes,
      name,
      this.#refuse,
    );
    return { name, dtype: type.name, shape, byteOffset, byteLength, encoding: 'raw' };
  }

  #place(infos: readonly TensorEntry[]): TensorIndex {
    const dataStart = Math.ceil(this.#cursor.offset / this.#alignment) * this.#alignment;
    let previousEnd = dataStart;
    const tensors = infos.map((info, index) => {
      const byteOffset = dataStart + info.byteOffset;
      const next = infos[index + 1];
      const limit = next === undefined ? this.#access.byteLength : dataStart + next.byteOffset;
      const byteLength =
        info.encoding === 'unknown' ? this.#unknownLength({ ...info, byteOffset }, limit) : info.byteLength;
      const end = byteOffset + byteLength;
      if (end > this.#access.byteLength) {
        throw this.#refuse(`has ${tensorCalled(info.name)} that ends after the file`);
      }
      if (byteOffset < previousEnd)
        throw this.#refuse(`has ${tensorCalled(info.name)} over the bytes of another`);
      previousEnd = end;
      return { ...info, byteOffset, byteLength };
    });
    checkLastLength(tensors, this.#alignment, this.#refuse);
    return tensors;
  }

  #unknownLength(tensor: TensorEntry, limit: number): number {
    const elements = elementCount(tensor.shape, tensor.name, this.#refuse);
    return lengthUpTo(limit, tensor, elements, this.#alignment, this.#refuse);
  }

  async #need(length: number): Promise<void> {
    if (!this.#cursor.holds(length)) await this.#cursor.fill(length);
  }
}
