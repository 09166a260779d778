import serialize from 'canonicalize';
import { utf8 } from './bytes.js';
import { invalidInput } from './errors.js';

/** Deeper than anything signed here; bounds recursion over untrusted data. */
const MAX_DEPTH = 64;

/**
 * Canonical JSON (RFC 8785, JCS) of plain data. Whatever two readers could interpret differently is refused before it is
 * serialised: numbers that are not safe integers, undefined, lone surrogates, objects with a prototype of their own,
 * accessors, symbols, holes.
 * Errors: INVALID_INPUT with the path of the value.
 */
export function canonicalJson(value: unknown, argument = 'value'): string {
  checkPlain(value, argument, 0);
  const text = serialize(value);
  if (text === undefined) throw invalidInput(argument, 'must be JSON data');
  return text;
}

/** The UTF-8 bytes of {@link canonicalJson}. */
export function canonicalBytes(value: unknown, argument = 'value'): Uint8Array {
  return utf8(canonicalJson(value, argument));
}

function checkPlain(value: unknown, path: string, depth: number): void {
  if (value === null || typeof value === 'boolean') return;
  if (typeof value === 'string') {
    checkText(value, path);
    return;
  }
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      throw invalidInput(path, 'must be an integer of at most 2^53 - 1 in magnitude, and not -0');
    }
    return;
  }
  if (typeof value !== 'object') throw invalidInput(path, `must be plain JSON data, got ${typeof value}`);
  if (depth >= MAX_DEPTH) throw invalidInput(path, `must be nested at most ${MAX_DEPTH} deep`);
  if (Array.isArray(value)) checkArray(value, path, depth);
  else checkObject(value, path, depth);
}

function checkArray(value: readonly unknown[], path: string, depth: number): void {
  // Own keys of a dense array: its indexes and "length".
  if (Reflect.ownKeys(value).length !== value.length + 1) {
    throw invalidInput(path, 'must be an array without holes or further properties');
  }
  for (let index = 0; index < value.length; index++) checkPlain(value[index], `${path}[${index}]`, depth + 1);
}

function checkObject(value: object, path: string, depth: number): void {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) {
    throw invalidInput(path, 'must be a plain object');
  }
  for (const key of Reflect.ownKeys(value)) {
    if (typeof key !== 'string') throw invalidInput(path, 'must not have symbol keys');
    checkText(key, `${path} key`);
    const property = Object.getOwnPropertyDescriptor(value, key);
    if (property === undefined || !('value' in property) || property.enumerable !== true) {
      throw invalidInput(`${path}.${key}`, 'must be an enumerable data property');
    }
    // The serialiser would call it instead of writing the object.
    if (key === 'toJSON' && typeof property.value === 'function') {
      throw invalidInput(path, 'must not have a toJSON method');
    }
    checkPlain(property.value, `${path}.${key}`, depth + 1);
  }
}

function checkText(text: string, path: string): void {
  if (/\p{Surrogate}/u.test(text)) throw invalidInput(path, 'must not contain lone surrogates');
}
