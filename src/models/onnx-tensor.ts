import { MAX_INTEGER } from '../base/index.js';
import { ONNX_TYPES, type OnnxType, VALUE_FIELDS } from './onnx-types.js';
import { FIXED32, FIXED64, LENGTH_DELIMITED, type ProtobufReader, VARINT } from './protobuf.js';
import { type Refuse, tensorCalled } from './refusal.js';
import { bytesOfElements, elementCount, TENSOR_LIMITS, type TensorEntry } from './tensors.js';

/** Where the bytes of a tensor lie outside the ONNX file. */
export interface ExternalLocation {
  /** Relative to the model's folder, checked by checkExternalPath(). */
  readonly path: string;
}

/** A TensorProto; `external` is set if its bytes are in another file, in which `byteOffset` then counts. */
export type OnnxTensor = TensorEntry & { readonly external?: ExternalLocation };

const MAX_EXTERNAL_ENTRIES = 16;
const EXTERNAL = 1;
const DECIMAL = /^(0|[1-9][0-9]{0,15})$/;

/** One TensorProto while it is read: fields may come in any order, so checks are made at the end. */
interface Draft {
  name: string | undefined;
  type: number | undefined;
  shape: number[];
  /** The field that holds the values: its number, their place, and their count where it had to be counted. */
  values: { field: number; offset: number; length: number; count: number | null } | undefined;
  /** Entries of external_data, if any. */
  external: Map<string, string> | undefined;
  location: number | undefined;
}

/** Reads TensorProto messages; the reader must be at their first byte. */
export class OnnxTensorReader {
  readonly #fields: ProtobufReader;
  readonly #refuse: Refuse;

  constructor(fields: ProtobufReader, refuse: Refuse) {
    this.#fields = fields;
    this.#refuse = refuse;
  }

  /** `fallbackName` is used in messages, and kept if the tensor has no name. */
  async read(end: number, fallbackName: string): Promise<OnnxTensor> {
    const start = this.#fields.cursor.offset;
    const draft: Draft = {
      name: undefined,
      type: undefined,
      shape: [],
      values: undefined,
      external: undefined,
      location: undefined,
    };
    while (this.#fields.cursor.offset < end) {
      if (!this.#fields.ready) await this.#fields.fill();
      this.#fields.next(end);
      // Fields that are in memory cost no turn of the event loop.
      const work = this.#field(draft, draft.name ?? fallbackName);
      if (work !== undefined) await work;
    }
    return this.#judge(draft, draft.name || fallbackName, start, end);
  }

  #field(draft: Draft, name: string): Promise<void> | undefined {
    const fields = this.#fields;
    switch (fields.number) {
      case 1:
        if (fields.wireType !== VARINT) return this.#packedDims(draft);
        return this.#dimension(draft, fields.value);
      case 2:
        this.#once(draft.type, 'data_type', name);
        fields.expect(VARINT, 'a data_type');
        draft.type = fields.value;
        return undefined;
      case 3:
        throw this.#refuse(`has ${tensorCalled(name)} in segments, which are not supported`);
      case 8:
        this.#once(draft.name, 'name', name);
        return this.#name(draft);
      case 13:
        return this.#externalEntry(draft, name);
      case 14:
        this.#once(draft.location, 'data_location', name);
        fields.expect(VARINT, 'a data_location');
        draft.location = fields.value;
        return undefined;
      case VALUE_FIELDS.stringData:
        return this.#string(draft, name);
      case VALUE_FIELDS.floatData:
      case VALUE_FIELDS.int32Data:
      case VALUE_FIELDS.int64Data:
      case VALUE_FIELDS.rawData:
      case VALUE_FIELDS.doubleData:
      case VALUE_FIELDS.uint64Data:
        return this.#values(draft, name);
      default:
        return fields.skip();
    }
  }

  async #name(draft: Draft): Promise<void> {
    draft.name = await this.#fields.text(TENSOR_LIMITS.nameBytes, 'a tensor name');
  }

  /** A field that holds only varints. */
  async #packedDims(draft: Draft): Promise<void> {
    const fields = this.#fields;
    fields.expect(LENGTH_DELIMITED, 'dims');
    const end = fields.cursor.offset + fields.length;
    while (fields.cursor.offset < end) {
      if (!fields.ready) await fields.fill();
      this.#dimension(draft, fields.bareVarint(end));
    }
  }

  #dimension(draft: Draft, value: number): undefined {
    if (value > MAX_INTEGER) {
      throw this.#refuse('has a tensor with a dimension that is negative or beyond 2^53 - 1');
    }
    if (draft.shape.length >= TENSOR_LIMITS.rank) {
      throw this.#refuse(`has a tensor with more than ${TENSOR_LIMITS.rank} dimensions`);
    }
    draft.shape.push(value);
  }

  async #values(draft: Draft, name: string): Promise<void> {
    const { number: field, wireType, length } = this.#fields;
    // A single element, outside a packed field, has no place among raw bytes.
    if (wireType === VARINT || wireType === FIXED32 || wireType === FIXED64) {
      throw this.#refuse(`has ${tensorCalled(name)} with values that are not packed`);
    }
    if (draft.values !== undefined) throw this.#refuse(`has the values of ${tensorCalled(name)} twice`);
    const offset = this.#fields.cursor.offset;
    const counted =
      field === VALUE_FIELDS.int32Data ||
      field === VALUE_FIELDS.int64Data ||
      field === VALUE_FIELDS.uint64Data;
    let count: number | null = null;
    if (counted) count = await this.#fields.countPackedVarints(name);
    else this.#fields.skip();
    draft.values = { field, offset, length, count };
  }

  #string(draft: Draft, name: string): undefined {
    this.#fields.expect(LENGTH_DELIMITED, 'string_data');
    const field = VALUE_FIELDS.stringData;
    draft.values ??= { field, offset: this.#fields.cursor.offset, length: 0, count: 0 };
    if (draft.values.field !== field) throw this.#refuse(`has the values of ${tensorCalled(name)} twice`);
    draft.values.count = (draft.values.count ?? 0) + 1;
    this.#fields.skip();
  }

  /** StringStringEntryProto: key = 1, value = 2. */
  async #externalEntry(draft: Draft, name: string): Promise<void> {
    const fields = this.#fields;
    fields.expect(LENGTH_DELIMITED, 'external_data');
    const end = fields.cursor.offset + fields.length;
    let key: string | undefined;
    let value: string | undefined;
    while (fields.cursor.offset < end) {
      if (!fields.ready) await fields.fill();
      fields.next(end);
      if (fields.number === 1) {
        this.#once(key, 'an external_data key', name);
        key = await fields.text(TENSOR_LIMITS.nameBytes, 'an external_data key');
      } else if (fields.number === 2) {
        this.#once(value, 'an external_data value', name);
        value = await fields.text(TENSOR_LIMITS.nameBytes, 'an external_data value');
      } else {
        fields.skip();
      }
    }
    if (key === undefined || value === undefined) {
      throw this.#refuse(`has ${tensorCalled(name)} with external_data that lacks a key or value`);
    }
    const entries = draft.external ?? new Map<string, string>();
    draft.external = entries;
    this.#once(entries.get(key), 'an external_data key', name);
    if (entries.size >= MAX_EXTERNAL_ENTRIES) {
      throw this.#refuse(
        `has ${tensorCalled(name)} with more than ${MAX_EXTERNAL_ENTRIES} external_data entries`,
      );
    }
    entries.set(key, value);
  }

  #judge(draft: Draft, name: string, start: number, end: number): OnnxTensor {
    const type = draft.type === undefined ? undefined : ONNX_TYPES.get(draft.type);
    if (type === undefined) throw this.#refuse(`has ${tensorCalled(name)} of an unknown data_type`);
    const elements = elementCount(draft.shape, name, this.#refuse);
    const dtype = type.name;
    // Copied to its exact length, because a grown list keeps spare room and there are many.
    const shape = draft.shape.slice();
    if (draft.location !== undefined && draft.location > EXTERNAL) {
      throw this.#refuse(`has ${tensorCalled(name)} with an unknown data_location`);
    }
    if (draft.location === EXTERNAL) {
      if (draft.values !== undefined)
        throw this.#refuse(`has the values of ${tensorCalled(name)} inside and outside the file`);
      const byteLength = this.#rawBytes(type, elements, name);
      const { path, offset } = this.#external(draft, byteLength, name);
      return { name, dtype, shape, byteOffset: offset, byteLength, encoding: 'raw', external: { path } };
    }
    if (draft.external !== undefined)
      throw this.#refuse(`has ${tensorCalled(name)} with external_data but no data_location`);
    const range = this.#rawRange(draft, type, elements, name);
    if (range === null) {
      return { name, dtype, shape, byteOffset: start, byteLength: end - start, encoding: 'protobuf' };
    }
    const { byteOffset, byteLength } = range;
    return { name, dtype, shape, byteOffset, byteLength, encoding: 'raw' };
  }

  /** Where the raw bytes lie, or null if they are varints or strings. */
  #rawRange(
    draft: Draft,
    type: OnnxType,
    elements: number,
    name: string,
  ): { byteOffset: number; byteLength: number } | null {
    const values = draft.values;
    if (values === undefined) {
      if (elements > 0) throw this.#refuse(`has ${tensorCalled(name)} without values`);
      return { byteOffset: this.#fields.cursor.offset, byteLength: 0 };
    }
    if (values.field !== VALUE_FIELDS.rawData && values.field !== type.field) {
      throw this.#refuse(`has ${tensorCalled(name)} with values in the field of another data_type`);
    }
    if (values.count !== null) {
      const needed = type.entries(elements);
      if (values.count !== needed) {
        throw this.#refuse(
          `has ${tensorCalled(name)} whose shape needs ${needed} values, not ${values.count}`,
        );
      }
      return null;
    }
    const needed = this.#rawBytes(type, elements, name);
    if (values.length !== needed) {
      throw this.#refuse(
        `has ${tensorCalled(name)} whose shape and data_type need ${needed} bytes, not ${values.length}`,
      );
    }
    return { byteOffset: values.offset, byteLength: values.length };
  }

  #rawBytes(type: OnnxType, elements: number, name: string): number {
    if (type.bits === 0) throw this.#refuse(`has ${tensorCalled(name)} of strings in raw bytes`);
    // Elements smaller than a byte are packed; the last byte may be partly unused.
    const perByte = Math.max(1, 8 / type.bits);
    return bytesOfElements(Math.ceil(elements / perByte), Math.max(8, type.bits), name, this.#refuse);
  }

  #external(draft: Draft, byteLength: number, name: string): { path: string; offset: number } {
    const location = draft.external?.get('location');
    if (location === undefined)
      throw this.#refuse(`has ${tensorCalled(name)} outside the file without a location`);
    // Writers that leave the length to the shape write 0 or omit it.
    const length = this.#decimal(draft.external?.get('length'), name) || byteLength;
    if (length !== byteLength) {
      throw this.#refuse(
        `has ${tensorCalled(name)} whose shape and data_type need ${byteLength} bytes, not ${length}`,
      );
    }
    const offset = this.#decimal(draft.external?.get('offset'), name) ?? 0;
    return { path: checkExternalPath(location, name, this.#refuse), offset };
  }

  #decimal(text: string | undefined, name: string): number | undefined {
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!DECIMAL.test(text) || value > MAX_INTEGER) {
      throw this.#refuse(`has ${tensorCalled(name)} with an offset or length that is not a number of bytes`);
    }
    return value;
  }

  #once(earlier: unknown, what: string, name: string): void {
    if (earlier !== undefined) throw this.#refuse(`has ${what} twice in ${tensorCalled(name)}`);
  }
}

/** A relative path inside the model's folder, without its `.` parts. */
function checkExternalPath(path: string, name: string, refuse: Refuse): string {
  const outside = (why: string): Error => refuse(`has ${tensorCalled(name)} in a file ${why}`);
  if (/[\p{Cc}\u2028\u2029]/u.test(path)) throw outside('with control characters in its name');
  if (path.startsWith('/') || path.startsWith('\\') || /^[A-Za-z]:/.test(path))
    throw outside('with an absolute path');
  const parts = path.split(/[/\\]/).filter((part) => part !== '.');
  if (parts.includes('..')) throw outside('outside the folder of the model');
  if (parts.length === 0 || parts.includes('')) throw outside('without a name');
  if (path.includes('\\')) throw outside('with a backslash in its name');
  return parts.join('/');
}
