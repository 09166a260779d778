import { fromBase64Url, toBase64Url } from './base64url.js';

/** Base64 with padding (RFC 4648, section 4). */
export function toBase64(bytes: Uint8Array): string {
  const text = toBase64Url(bytes).replaceAll('-', '+').replaceAll('_', '/');
  return text.padEnd(Math.ceil(text.length / 4) * 4, '=');
}

/**
 * Bytes of base64 in either alphabet, padded or not: DSSE asks that a reader take both. Null for a mixture of the alphabets, white
 * space, wrong padding and stray last bits, so that one alphabet has one text for the same bytes.
 */
export function fromBase64(text: string): Uint8Array | null {
  const match = /^([A-Za-z0-9_-]*|[A-Za-z0-9+/]*)(={0,2})$/.exec(text);
  if (match === null) return null;
  const [, digits = '', padding = ''] = match;
  if (padding !== '' && (digits.length + padding.length) % 4 !== 0) return null;
  return fromBase64Url(digits.replaceAll('+', '-').replaceAll('/', '_'));
}
