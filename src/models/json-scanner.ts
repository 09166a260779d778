import { isVramError, parseStrictJson, utf8, type VramError } from '../base/index.js';
import type { Refuse } from './refusal.js';
import { decodeUtf8 } from './utf8.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ESCAPED = new Set([...'"\\/bfnrt'].map((letter) => letter.charCodeAt(0)));
const WORDS = ['true', 'false', 'null'].map(utf8);
const MAX_INTEGER_DIGITS = 16;
const RECENT_STRINGS = 256;

/**
 * Walks through JSON (RFC 8259) in UTF-8 that an attacker may have written, one value at a time, at the caller's
 * request: skipped values take no memory. Time is linear; the caller's structure bounds the depth.
 */
export class JsonScanner {
  readonly #bytes: Uint8Array;
  readonly #refuse: Refuse;
  /**
   * Cache of decoded strings, by length and first byte: a header repeats `"dtype"` for every tensor, an index each
   * file's name.
   */
  readonly #recent = new Array<{ start: number; end: number; text: string } | undefined>(RECENT_STRINGS);
  #at = 0;

  /** `bytes` must be UTF-8 already. */
  constructor(bytes: Uint8Array, refuse: Refuse) {
    this.#bytes = bytes;
    this.#refuse = refuse;
  }

  /** Offset of the next byte. */
  get offset(): number {
    return this.#at;
  }

  /** Whether the next value, or the end of the text, begins with this character. */
  nextIs(character: string): boolean {
    this.#skipSpace();
    return this.#bytes[this.#at] === character.charCodeAt(0);
  }

  /**
   * An object. `member` gets each key, of at most `maxKeyBytes`, and must read the value and detect duplicate keys.
   */
  object(maxKeyBytes: number, member: (key: string) => void): void {
    this.#expect('{');
    if (this.#accept('}')) return;
    do {
      const key = this.string(maxKeyBytes);
      this.#expect(':');
      member(key);
    } while (this.#accept(','));
    this.#expect('}');
  }

  /** An array. `element` must read each value. */
  array(element: () => void): void {
    this.#expect('[');
    if (this.#accept(']')) return;
    do element();
    while (this.#accept(','));
    this.#expect(']');
  }

  /** A string of at most `maxBytes` bytes as written. */
  string(maxBytes: number): string {
    const { start, end, escaped } = this.#stringSpan();
    if (end - start > maxBytes) throw this.#fault(`has a string of more than ${maxBytes} bytes`, start);
    const slot = (31 * (end - start) + (this.#bytes[start] ?? 0)) % RECENT_STRINGS;
    const recent = this.#recent[slot];
    if (
      recent !== undefined &&
      recent.end - recent.start === end - start &&
      this.#equal(recent.start, start, end)
    )
      return recent.text;
    const raw = decodeUtf8(this.#bytes.subarray(start, end), 'a string', this.#refuse);
    const text = escaped ? this.#unescape(raw, start) : raw;
    this.#recent[slot] = { start, end, text };
    return text;
  }

  /** Whether the bytes from `other` on equal those from `start` to `end`. */
  #equal(other: number, start: number, end: number): boolean {
    for (let at = start; at < end; at++)
      if (this.#bytes[at] !== this.#bytes[other + at - start]) return false;
    return true;
  }

  /** A string of any length, checked but not kept. */
  skipString(): void {
    this.#stringSpan();
  }

  /** An integer from 0 to 2^53 - 1, written with digits alone. */
  integer(): number {
    this.#skipSpace();
    const start = this.#at;
    let value = 0;
    while (isDigit(this.#bytes[this.#at])) {
      if (this.#at - start >= MAX_INTEGER_DIGITS) throw this.#fault('has an integer beyond 2^53 - 1', start);
      value = value * 10 + ((this.#bytes[this.#at] ?? 0) - 0x30);
      this.#at += 1;
    }
    const digits = this.#at - start;
    if (digits === 0) throw this.#fault('needs an integer of at least 0');
    if (digits > 1 && this.#bytes[start] === 0x30)
      throw this.#fault('has an integer with a leading zero', start);
    if (!Number.isSafeInteger(value)) throw this.#fault('has an integer beyond 2^53 - 1', start);
    return value;
  }

  /** Any value, checked but not kept; keys inside it are not compared. */
  skipValue(maxDepth: number): void {
    this.#skipSpace();
    const first = this.#bytes[this.#at];
    if ((first === 0x7b || first === 0x5b) && maxDepth === 0) throw this.#fault('is nested too deep');
    if (first === 0x7b) this.#skipObject(maxDepth);
    else if (first === 0x5b) this.array(() => this.skipValue(maxDepth - 1));
    else if (first === QUOTE) this.skipString();
    else if (!this.#acceptWord()) this.#skipNumber();
  }

  #skipObject(maxDepth: number): void {
    this.#expect('{');
    if (this.#accept('}')) return;
    do {
      this.skipString();
      this.#expect(':');
      this.skipValue(maxDepth - 1);
    } while (this.#accept(','));
    this.#expect('}');
  }

  /** Only spaces may follow; line breaks and tabs only if allowed. */
  end(space: 'spaces' | 'whitespace'): void {
    if (space === 'whitespace') this.#skipSpace();
    else while (this.#bytes[this.#at] === 0x20) this.#at += 1;
    if (this.#at < this.#bytes.length) throw this.#fault('has text after its JSON');
  }

  #stringSpan(): { start: number; end: number; escaped: boolean } {
    this.#expect('"');
    const start = this.#at;
    let escaped = false;
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte === QUOTE) break;
      if (byte === undefined) throw this.#fault('ends inside a JSON string', start);
      if (byte < 0x20) throw this.#fault('has a control character in a JSON string');
      if (byte === BACKSLASH) {
        escaped = true;
        this.#skipEscape();
      } else {
        this.#at += 1;
      }
    }
    const end = this.#at;
    this.#at += 1;
    return { start, end, escaped };
  }

  #skipEscape(): void {
    const letter = this.#bytes[this.#at + 1];
    if (letter === 0x75) {
      for (let i = 2; i < 6; i++) {
        if (!isHexDigit(this.#bytes[this.#at + i])) throw this.#fault('has a bad escape in a JSON string');
      }
      this.#at += 6;
    } else if (letter !== undefined && ESCAPED.has(letter)) {
      this.#at += 2;
    } else {
      throw this.#fault('has a bad escape in a JSON string');
    }
  }

  #unescape(text: string, start: number): string {
    try {
      const value = parseStrictJson(`"${text}"`, { refuseLoneSurrogates: true });
      return typeof value === 'string' ? value : '';
    } catch (error) {
      if (isVramError(error, 'INVALID_INPUT'))
        throw this.#fault('has a lone surrogate in a JSON string', start);
      throw error;
    }
  }

  #acceptWord(): boolean {
    const word = WORDS.find((bytes) => bytes.every((byte, i) => this.#bytes[this.#at + i] === byte));
    this.#at += word?.length ?? 0;
    return word !== undefined;
  }

  #skipNumber(): void {
    if (this.#bytes[this.#at] === 0x2d) this.#at += 1;
    const start = this.#at;
    this.#skipDigits();
    if (this.#bytes[start] === 0x30 && this.#at > start + 1) {
      throw this.#fault('has a number with a leading zero', start);
    }
    if (this.#bytes[this.#at] === 0x2e) {
      this.#at += 1;
      this.#skipDigits();
    }
    if (this.#bytes[this.#at] === 0x65 || this.#bytes[this.#at] === 0x45) {
      this.#at += 1;
      if (this.#bytes[this.#at] === 0x2b || this.#bytes[this.#at] === 0x2d) this.#at += 1;
      this.#skipDigits();
    }
  }

  #skipDigits(): void {
    if (!isDigit(this.#bytes[this.#at])) throw this.#fault('needs a JSON value');
    while (isDigit(this.#bytes[this.#at])) this.#at += 1;
  }

  #accept(character: string): boolean {
    this.#skipSpace();
    if (this.#bytes[this.#at] !== character.charCodeAt(0)) return false;
    this.#at += 1;
    return true;
  }

  #expect(character: string): void {
    if (!this.#accept(character)) {
      throw this.#fault(
        this.#at < this.#bytes.length ? `needs ${character} in its JSON` : 'has JSON that ends too early',
      );
    }
  }

  #skipSpace(): void {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.#at += 1;
    }
  }

  #fault(problem: string, at: number = this.#at): VramError {
    return this.#refuse(`${problem} (JSON position ${at})`);
  }
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

function isHexDigit(byte: number | undefined): boolean {
  return isDigit(byte) || (byte !== undefined && (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66);
}
