import { invalidInput } from '../../base/index.js';

const encoder = new TextEncoder();

/** UTF-8. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** Of public values only: this is not constant-time. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

/** RFC 4648, section 4, with padding. */
export function toBase64(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** Canonical base64 alone: what toBase64 gives back unchanged. Errors: INVALID_INPUT naming `argument`. */
export function fromBase64(text: string, argument: string): Uint8Array<ArrayBuffer> {
  if (/^[A-Za-z0-9+/]*={0,2}$/.test(text) && text.length % 4 === 0) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    if (toBase64(bytes) === text) return bytes;
  }
  throw invalidInput(argument, 'must be base64');
}

/** Bytes of lowercase hexadecimal that has been checked to be such: the verifier's inner loop reads two of these a record. */
export function bytesOfHex(hex: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = (nibble(hex.charCodeAt(2 * i)) << 4) | nibble(hex.charCodeAt(2 * i + 1));
  }
  return bytes;
}

function nibble(code: number): number {
  return code < 0x3a ? code - 0x30 : code - 0x57;
}

/**
 * A buffer that is used again for one short-lived input after the other: allocating each costs more than hashing it. Its user waits for
 * the hash before filling it again.
 */
export class Scratch {
  #buffer: Uint8Array<ArrayBuffer>;

  constructor(bytes = 1_024) {
    this.#buffer = new Uint8Array(bytes);
  }

  /** The first `length` bytes, with what was left in them. */
  take(length: number): Uint8Array<ArrayBuffer> {
    if (length > this.#buffer.length) this.#buffer = new Uint8Array(2 * length);
    return this.#buffer.subarray(0, length);
  }
}

const SLAB_BYTES = 65_536;

/**
 * Cuts small pieces from larger allocations, which leaves the garbage collector less to do than memory of its own for each. A piece is
 * the taker's for ever; its `buffer` is shared with other pieces.
 */
export class Slabs {
  #slab = new Uint8Array(0);
  #used = 0;

  take(length: number): Uint8Array<ArrayBuffer> {
    if (this.#slab.length - this.#used < length) {
      this.#slab = new Uint8Array(Math.max(SLAB_BYTES, length));
      this.#used = 0;
    }
    const piece = this.#slab.subarray(this.#used, this.#used + length);
    this.#used += length;
    return piece;
  }
}
