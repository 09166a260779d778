import { LENGTH_DELIMITED } from '../../../models/index.js';

const VARINT = 0;
const utf8 = new TextEncoder();

/** A base 128 varint of a non-negative integer of at most 2^53 - 1. */
export function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  // Shifts would truncate to 32 bits.
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

/** A field that holds an integer. */
export function integerField(number: number, value: number): Uint8Array {
  return concat([varint(number * 8 + VARINT), varint(value)]);
}

/** A field that holds text, bytes, or the fields of a message. */
export function bytesField(number: number, content: string | Uint8Array | readonly Uint8Array[]): Uint8Array {
  const bytes =
    typeof content === 'string'
      ? utf8.encode(content)
      : content instanceof Uint8Array
        ? content
        : concat(content);
  return concat([fieldStart(number, bytes.length), bytes]);
}

/** The tag and length before the `byteLength` bytes of a field's content. */
export function fieldStart(number: number, byteLength: number): Uint8Array {
  return concat([varint(number * 8 + LENGTH_DELIMITED), varint(byteLength)]);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
