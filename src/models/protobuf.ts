import type { ByteCursor } from './byte-cursor.js';
import { type Refuse, tensorCalled } from './refusal.js';
import { decodeUtf8 } from './utf8.js';

export const VARINT = 0;
export const FIXED64 = 1;
export const LENGTH_DELIMITED = 2;
export const FIXED32 = 5;

/** The longest tag (5 bytes as written by anyone, 10 allowed) and value (10 bytes). */
const MAX_FIELD_START_BYTES = 20;
const MAX_VARINT_BYTES = 10;
const MAX_FIELD_NUMBER = 2 ** 29 - 1;

/**
 * Reads the fields of protocol buffer messages (the wire format of proto2 and proto3) one by one from a file. `next` stands
 * on a field's start and leaves its number, type and value or length here; the caller then reads or skips the bytes of a
 * length-delimited one.
 */
export class ProtobufReader {
  readonly cursor: ByteCursor;
  readonly #refuse: Refuse;
  /** Of the field that next() read. */
  number = 0;
  wireType = 0;
  /** Of a varint: exact up to 2^53, beyond that some greater number. */
  value = 0;
  /** Bytes of the field's value that stand at the cursor; 0 for a varint. */
  length = 0;

  constructor(cursor: ByteCursor, refuse: Refuse) {
    this.cursor = cursor;
    this.#refuse = refuse;
  }

  /** Whether next() can be called without `await fill()` first. */
  get ready(): boolean {
    return this.cursor.holds(Math.min(MAX_FIELD_START_BYTES, this.cursor.remaining));
  }

  async fill(): Promise<void> {
    await this.cursor.fill(Math.min(MAX_FIELD_START_BYTES, this.cursor.remaining));
  }

  /** Reads the start of the next field of a message that ends at `end`. */
  next(end: number): void {
    const tag = this.#varint(end);
    this.number = Math.floor(tag / 8);
    this.wireType = tag % 8;
    if (this.number < 1 || this.number > MAX_FIELD_NUMBER)
      throw this.#refuse('has a protobuf field with a bad number');
    this.value = 0;
    switch (this.wireType) {
      case VARINT:
        this.length = 0;
        this.value = this.#varint(end);
        break;
      case FIXED64:
        this.length = 8;
        break;
      case LENGTH_DELIMITED:
        this.length = this.#varint(end);
        break;
      case FIXED32:
        this.length = 4;
        break;
      default:
        throw this.#refuse('has a protobuf field of an unknown wire type');
    }
    if (this.length > end - this.cursor.offset)
      throw this.#refuse('has a protobuf field that ends after its message');
  }

  /** A varint without a tag, inside a packed field that ends at `end`. */
  bareVarint(end: number): number {
    return this.#varint(end);
  }

  /** Skips the value of the field. */
  skip(): undefined {
    this.cursor.skip(this.length);
  }

  /** The field must be of this wire type. */
  expect(wireType: number, what: string): void {
    if (this.wireType !== wireType) throw this.#refuse(`has ${what} of a wrong protobuf wire type`);
  }

  /** The field's value as text of at most `maxBytes`. */
  async text(maxBytes: number, what: string): Promise<string> {
    this.expect(LENGTH_DELIMITED, what);
    if (this.length > maxBytes) throw this.#refuse(`has ${what} of more than ${maxBytes} bytes`);
    if (!this.cursor.holds(this.length)) await this.cursor.fill(this.length);
    return decodeUtf8(this.cursor.take(this.length), what, this.#refuse);
  }

  /** Counts the varints of a packed field while skipping it. */
  async countPackedVarints(name: string): Promise<number> {
    const end = this.cursor.offset + this.length;
    let count = 0;
    let bytesOfOne = 0;
    while (this.cursor.offset < end) {
      if (!this.cursor.holds(1)) await this.cursor.fill(1);
      const bytes = this.cursor.held(end - this.cursor.offset);
      // By index: an iterator takes five times as long, and a hostile file may hold gigabytes of this.
      for (let i = 0; i < bytes.length; i++) {
        if (++bytesOfOne > MAX_VARINT_BYTES) throw this.#badVarint();
        if ((bytes[i] ?? 0) < 0x80) {
          count += 1;
          bytesOfOne = 0;
        }
      }
      this.cursor.skip(bytes.length);
    }
    if (bytesOfOne > 0) throw this.#refuse(`has ${tensorCalled(name)} whose values end inside a varint`);
    return count;
  }

  #varint(end: number): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < MAX_VARINT_BYTES; i++) {
      if (this.cursor.offset >= end) throw this.#refuse('has a protobuf varint that ends after its message');
      const byte = this.cursor.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (i === MAX_VARINT_BYTES - 1 && byte > 1) throw this.#badVarint();
        return value;
      }
      scale *= 128;
    }
    throw this.#badVarint();
  }

  #badVarint(): Error {
    return this.#refuse('has a protobuf varint of more than 64 bits');
  }
}
