import type { Refuse } from './refusal.js';

const CHUNK_BYTES = 256 * 1024;

/** Refuses bytes that are not UTF-8 (RFC 3629), without holding their text. */
export function checkUtf8(bytes: Uint8Array, what: string, refuse: Refuse): void {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  try {
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      decoder.decode(bytes.subarray(at, at + CHUNK_BYTES), { stream: true });
    }
    decoder.decode();
  } catch (cause) {
    if (cause instanceof TypeError) throw refuse(`has ${what} that is not UTF-8`);
    throw cause;
  }
}

// Without streaming it keeps no state between calls, so one decoder serves all names.
const wholeTexts = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Text of a few bytes. */
export function decodeUtf8(bytes: Uint8Array, what: string, refuse: Refuse): string {
  try {
    return wholeTexts.decode(bytes);
  } catch (cause) {
    if (cause instanceof TypeError) throw refuse(`has ${what} that is not UTF-8`);
    throw cause;
  }
}
