import { invalidInput } from './errors.js';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** Base64 with padding (RFC 4648, section 4). */
export function toBase64(bytes: Uint8Array): string {
  const text = toBase64Url(bytes).replaceAll('-', '+').replaceAll('_', '/');
  return text.padEnd(Math.ceil(text.length / 4) * 4, '=');
}

/**
 * Null for anything but the one encoding that {@link toBase64} gives: no white space, no missing padding, no stray last
 * bits.
 */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null;
  return fromBase64Url(text.replaceAll('=', '').replaceAll('+', '-').replaceAll('/', '_'));
}

/** As {@link fromBase64}. Errors: INVALID_INPUT naming `argument`. */
export function checkBase64(argument: string, value: unknown): Uint8Array<ArrayBuffer> {
  const bytes = typeof value === 'string' ? fromBase64(value) : null;
  if (bytes === null) throw invalidInput(argument, 'must be base64');
  return bytes;
}

/** base64url without padding (RFC 4648, section 5). */
export function toBase64Url(bytes: Uint8Array): string {
  let text = '';
  for (let index = 0; index < bytes.length; index += 3) {
    const rest = bytes.length - index;
    const triple = ((bytes[index] ?? 0) << 16) | ((bytes[index + 1] ?? 0) << 8) | (bytes[index + 2] ?? 0);
    text += digit(triple >> 18) + digit(triple >> 12);
    if (rest > 1) text += digit(triple >> 6);
    if (rest > 2) text += digit(triple);
  }
  return text;
}

/** Null for anything but the one encoding that {@link toBase64Url} gives: no padding, no white space, no stray last bits. */
export function fromBase64Url(text: string): Uint8Array<ArrayBuffer> | null {
  if (text.length % 4 === 1) return null;
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let bits = 0;
  let held = 0;
  let written = 0;
  for (const character of text) {
    const value = ALPHABET.indexOf(character);
    if (value < 0) return null;
    held = ((held << 6) | value) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[written++] = (held >> bits) & 0xff;
    }
  }
  // RFC 4648, section 3.5: the bits left over must be zero, or two texts would stand for the same bytes.
  return (held & ((1 << bits) - 1)) === 0 ? bytes : null;
}

/**
 * Bytes of base64 in either alphabet, padded or not: DSSE requires readers to accept both. Null for mixed alphabets,
 * white space, wrong padding and stray last bits, so that the same bytes have one text in each alphabet.
 */
export function fromEitherBase64(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^(?:[A-Za-z0-9_-]*|[A-Za-z0-9+/]*)={0,2}$/.test(text)) return null;
  if (text.endsWith('=') && text.length % 4 !== 0) return null;
  return fromBase64Url(text.replaceAll('=', '').replaceAll('+', '-').replaceAll('/', '_'));
}

function digit(value: number): string {
  return ALPHABET.charAt(value & 63);
}
