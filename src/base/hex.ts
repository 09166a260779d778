import { invalidInput } from './errors.js';

const DIGITS = '0123456789abcdef';

/** Lowercase hexadecimal, two digits a byte. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += DIGITS.charAt(byte >> 4) + DIGITS.charAt(byte & 15);
  return text;
}

/**
 * Bytes of an even number of hexadecimal digits in either case. Hand-written for speed: the verifier of the audit log
 * reads two texts a record.
 * Errors: INVALID_INPUT naming `argument`.
 */
export function fromHex(hex: string, argument = 'hex'): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Math.ceil(hex.length / 2));
  for (let i = 0; i < bytes.length; i++) {
    const byte = (nibble(hex.charCodeAt(2 * i)) << 4) | nibble(hex.charCodeAt(2 * i + 1));
    if (byte < 0) throw invalidInput(argument, 'must be an even number of hexadecimal digits');
    bytes[i] = byte;
  }
  return bytes;
}

/** The value of one digit's code; -1 for anything else, including NaN (past the end of the text). */
function nibble(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
