import { invalidInput, type VramError } from './errors.js';
import type { JsonObject, JsonValue } from './json.js';
import { checkInteger } from './validate.js';

export interface StrictJsonOptions {
  /** Arrays and objects inside each other, at most; 1 to 1024, default 64. */
  readonly maxDepth?: number;
  /** Names the text in error messages; default "JSON". */
  readonly what?: string;
  /** Refuse strings and keys that are not well-formed UTF-16 (RFC 7493, section 2.1); default false. */
  readonly refuseLoneSurrogates?: boolean;
}

/**
 * Parses JSON (RFC 8259) that an attacker may have written. As JSON.parse, but refuses: a key that occurs twice in one
 * object (compared after unescaping), nesting beyond `maxDepth`, numbers that would silently change (integers beyond 2^53
 * - 1 and values beyond the largest double), and, if asked for, lone surrogates. Time is linear in the text.
 *
 * Errors: INVALID_INPUT with the position (in UTF-16 units) of the fault, never with the text itself.
 */
export function parseStrictJson(text: string, options: StrictJsonOptions = {}): JsonValue {
  return new StrictJsonParser(text, options).parse();
}

/** True for what parseStrictJson gives for `{...}`. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const HEX4 = /^[0-9A-Fa-f]{4}$/;
const LONE_SURROGATE = /\p{Surrogate}/u;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);

class StrictJsonParser {
  readonly #text: string;
  readonly #what: string;
  readonly #maxDepth: number;
  readonly #refuseLoneSurrogates: boolean;
  #at = 0;

  constructor(text: string, options: StrictJsonOptions) {
    this.#what = options.what ?? 'JSON';
    if (typeof text !== 'string') throw invalidInput(this.#what, 'must be a string');
    this.#text = text;
    this.#maxDepth = checkInteger('maxDepth', options.maxDepth ?? 64, 1, 1024);
    this.#refuseLoneSurrogates = options.refuseLoneSurrogates ?? false;
  }

  parse(): JsonValue {
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#fault('has something after its value');
    return value;
  }

  #value(depth: number): JsonValue {
    this.#skipSpace();
    switch (this.#text[this.#at]) {
      case undefined:
        throw this.#fault('ends too early');
      case '{':
        return this.#object(this.#deeper(depth));
      case '[':
        return this.#array(this.#deeper(depth));
      case '"':
        return this.#string();
      case 't':
        return this.#word('true', true);
      case 'f':
        return this.#word('false', false);
      case 'n':
        return this.#word('null', null);
      default:
        return this.#number();
    }
  }

  #deeper(depth: number): number {
    if (depth >= this.#maxDepth) throw this.#fault(`is nested deeper than ${this.#maxDepth} levels`);
    this.#at += 1;
    return depth + 1;
  }

  #object(depth: number): JsonObject {
    // Without a prototype: a key such as `__proto__` or `constructor` is a key like any other.
    const object: Record<string, JsonValue> = Object.create(null);
    if (this.#accept('}')) return object;
    do {
      this.#skipSpace();
      const keyAt = this.#at;
      if (this.#text[keyAt] !== '"') throw this.#unexpected('a key in double quotes');
      const key = this.#string();
      if (Object.hasOwn(object, key)) throw this.#fault('has a key twice in one object', keyAt);
      if (!this.#accept(':')) throw this.#unexpected('":"');
      object[key] = this.#value(depth);
    } while (this.#accept(','));
    if (!this.#accept('}')) throw this.#unexpected('"," or "}"');
    return object;
  }

  #array(depth: number): JsonValue[] {
    const array: JsonValue[] = [];
    if (this.#accept(']')) return array;
    do array.push(this.#value(depth));
    while (this.#accept(','));
    if (!this.#accept(']')) throw this.#unexpected('"," or "]"');
    return array;
  }

  #string(): string {
    const start = this.#at;
    const pieces: string[] = [];
    let from = start + 1;
    let at = from;
    for (;;) {
      const code = this.#text.charCodeAt(at);
      if (code === QUOTE) break;
      if (code === BACKSLASH) {
        pieces.push(this.#text.slice(from, at), this.#escape(at));
        at += this.#text[at + 1] === 'u' ? 6 : 2;
        from = at;
      } else if (code < 0x20) {
        throw this.#fault('has a control character in a string', at);
      } else if (Number.isNaN(code)) {
        throw this.#fault('ends inside a string', at);
      } else {
        at += 1;
      }
    }
    pieces.push(this.#text.slice(from, at));
    this.#at = at + 1;
    const value = pieces.join('');
    if (this.#refuseLoneSurrogates && LONE_SURROGATE.test(value)) {
      throw this.#fault('has a lone surrogate in a string', start);
    }
    return value;
  }

  #escape(at: number): string {
    const letter = this.#text[at + 1];
    if (letter === 'u') {
      const digits = this.#text.slice(at + 2, at + 6);
      if (!HEX4.test(digits)) throw this.#fault('has a bad \\u escape in a string', at);
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    const meant = letter === undefined ? undefined : ESCAPES.get(letter);
    if (meant === undefined) throw this.#fault('has a bad escape in a string', at);
    return meant;
  }

  #number(): number {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (match === null) throw this.#unexpected('a value');
    const value = Number(match[0]);
    if (match[1] === undefined && match[2] === undefined && !Number.isSafeInteger(value)) {
      throw this.#fault('has an integer beyond 2^53 - 1');
    }
    if (!Number.isFinite(value)) throw this.#fault('has a number beyond the largest double');
    this.#at = NUMBER.lastIndex;
    return value;
  }

  #word<T extends JsonValue>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#unexpected('a value');
    this.#at += word.length;
    return value;
  }

  #accept(character: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at += 1;
    }
  }

  #unexpected(expected: string): VramError {
    return this.#fault(this.#at < this.#text.length ? `needs ${expected}` : 'ends too early');
  }

  #fault(problem: string, at: number = this.#at): VramError {
    return invalidInput(this.#what, `${problem} (position ${at})`);
  }
}
