import { utf8 } from './bytes.js';
import { invalidInput } from './errors.js';

/** Upper bound of any size, offset or count: 2^53 - 1. */
export const MAX_INTEGER = Number.MAX_SAFE_INTEGER;

const ID = /^[A-Za-z0-9_-]{1,256}$/;
const MAX_LABEL_BYTES = 1024;
/** UTF-16 code units. */
const MAX_SHOWN_KEY = 64;

/** A shard or worker id: 1..256 of [A-Za-z0-9_-] (IV-003). */
export function checkId(argument: string, value: unknown): string {
  if (typeof value !== 'string' || !ID.test(value)) {
    throw invalidInput(argument, 'must be 1 to 256 characters of A-Z, a-z, 0-9, "_" and "-"');
  }
  return value;
}

/** Free text that is kept and shown: at most 1024 bytes of UTF-8, no control characters, no lone surrogates (IV-007). */
export function checkLabel(argument: string, value: unknown): string {
  if (typeof value !== 'string' || value.length === 0)
    throw invalidInput(argument, 'must be a non-empty string');
  if (value.length > MAX_LABEL_BYTES || utf8(value).length > MAX_LABEL_BYTES) {
    throw invalidInput(argument, `must be at most ${MAX_LABEL_BYTES} bytes of UTF-8`);
  }
  if (/[\p{Cc}\u2028\u2029]/u.test(value))
    throw invalidInput(argument, 'must not contain control characters');
  if (/\p{Surrogate}/u.test(value)) throw invalidInput(argument, 'must not contain lone surrogates');
  return value;
}

/** An integer in [min, max], both at most 2^53 - 1 in magnitude. */
export function checkInteger(
  argument: string,
  value: unknown,
  min: number,
  max: number = MAX_INTEGER,
): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
    const bounds = max === MAX_INTEGER ? `an integer of at least ${min}` : `an integer from ${min} to ${max}`;
    throw invalidInput(argument, `must be ${bounds}, got ${describe(value)}`);
  }
  return value;
}

/** One of a closed set of words. */
export function checkOneOf<T extends string>(argument: string, value: unknown, words: readonly T[]): T {
  const found = words.find((word) => word === value);
  if (found === undefined)
    throw invalidInput(argument, `must be one of ${words.join(', ')}, got ${describe(value)}`);
  return found;
}

/** The names of all options of an interface, the optional ones too: the compiler refuses a list that does not match it. */
export type OptionKeys<T> = Readonly<Record<keyof T, true>>;

/**
 * An options object without unknown own enumerable keys, so that a misspelt option is not silently ignored. A known
 * option may be undefined. Inherited keys are not checked, so an instance of a class or an object created from defaults
 * is accepted.
 */
export function checkOptions(argument: string, value: unknown, keys: Readonly<Record<string, true>>): void {
  if (typeof value !== 'object' || value === null) throw invalidInput(argument, 'must be an object');
  const unknown = Object.keys(value).find((key) => !Object.hasOwn(keys, key));
  if (unknown === undefined) return;
  throw invalidInput(argument, `has no option ${shown(unknown)}; it takes ${Object.keys(keys).join(', ')}`);
}

/** A Uint8Array over memory that is still attached. */
export function checkBytes(argument: string, value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array))
    throw invalidInput(argument, `must be a Uint8Array, got ${describe(value)}`);
  return value;
}

/** A key in quotes, truncated, with escapes for characters that a terminal or a log could misinterpret. */
function shown(key: string): string {
  const text = JSON.stringify(key.slice(0, MAX_SHOWN_KEY)).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
  return key.length > MAX_SHOWN_KEY ? `${text}...` : text;
}

/** Names a value for an error message without repeating its content. */
function describe(value: unknown): string {
  if (typeof value === 'number') return String(value);
  if (value === null) return 'null';
  return typeof value;
}
