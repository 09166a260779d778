import { invalidInput, type JsonValue, parseStrictJson, VramError } from '../base/index.js';
import { DEVICE_KEYS, FILE_KEYS, PAYLOAD_KEYS, type SealPayload } from './payload.js';
import { SealedShard } from './sealed-shard.js';

/** Limit of a handle's JSON text: room for the published files of any model, some 200 characters each. */
const MAX_HANDLE_CHARACTERS = 2 ** 20;
/** Limit of each text in a handle: ten times the longest that seal() makes, however escaped. */
const MAX_TEXT_CHARACTERS = 65_536;
/** Limit of the keys of a handle, its device and each of its files: more than a later version is likely to have. */
const MAX_HANDLE_KEYS = 64;
/** What a model's readers allow. */
const MAX_FILES = 4096;

/** A handle as its holder returns it: anything in it may have been changed. */
export interface ForeignHandle {
  readonly version: SealPayload['v'];
  /** The keys of a payload with unauthenticated values. Copies, so that the values checked are the values used. */
  readonly payload: { readonly [key: string]: JsonValue };
  readonly signature: string;
}

/**
 * Reads a handle given as SealedShard, plain object or JSON text: exactly the known keys of version 1 or 2, each once.
 * Errors: INVALID_INPUT for what is not an object or text, NOT_SEALED without a signature, SEAL_VERIFICATION_FAILED for the
 * rest.
 */
export function readHandle(handle: unknown): ForeignHandle {
  const fields = typeof handle === 'string' ? parseText(handle) : snapshot(handle, 'shard');
  const signature = fields['signature'];
  if (signature === undefined || signature === null || signature === '') {
    throw new VramError(
      'NOT_SEALED',
      'the handle has no signature: only what seal() returned can be verified',
    );
  }
  if (typeof signature !== 'string') throw notGenuine('its signature is not text');
  const { signature: _, ...payload } = fields;
  const version = payload['v'];
  if (version !== 1 && version !== 2) throw notGenuine('its version is neither 1 nor 2, the ones known here');
  requireKeys(payload, PAYLOAD_KEYS[version], 'the handle');
  const device = payload['device'];
  if (!isRecord(device)) throw notGenuine('"device" is not an object');
  requireKeys(device, DEVICE_KEYS, '"device"');
  if (version === 2) requireFiles(payload['source']);
  return { version, payload, signature };
}

/** The published files of a version 2 handle. */
function requireFiles(source: JsonValue | undefined): void {
  if (source === null) return;
  if (!Array.isArray(source)) throw notGenuine('"source" is neither an array nor null');
  for (const file of source) {
    if (!isRecord(file)) throw notGenuine('"source" holds a value that is not an object');
    requireKeys(file, FILE_KEYS, 'a file of "source"');
  }
}

/** SEAL_VERIFICATION_FAILED: a handle that this worker never signed. */
export function notGenuine(problem: string, cause?: unknown): VramError {
  return new VramError('SEAL_VERIFICATION_FAILED', `the handle is not genuine: ${problem}`, {
    cause,
  });
}

function parseText(text: string): Record<string, JsonValue> {
  checkLength(text, MAX_HANDLE_CHARACTERS);
  let parsed: unknown;
  try {
    parsed = parseStrictJson(text);
  } catch (error) {
    throw notGenuine('its text is not strict JSON', error);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw notGenuine('its text is not a JSON object');
  }
  return snapshot(parsed, 'shard');
}

/** Copies own data properties once, so that an accessor or a later change cannot yield two different values. */
function snapshot(value: unknown, argument: string): Record<string, JsonValue> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidInput(argument, 'must be a sealed shard or its JSON text');
  }
  return copyRecord(value);
}

function checkLength(text: string, limit = MAX_TEXT_CHARACTERS): void {
  if (text.length > limit) throw notGenuine(`it holds a text of more than ${limit} characters`);
}

function keysOf(value: object): (string | symbol)[] {
  const keys = Reflect.ownKeys(value);
  if (keys.length > MAX_HANDLE_KEYS) throw notGenuine(`it has more than ${MAX_HANDLE_KEYS} keys`);
  return keys;
}

function copyRecord(value: object): Record<string, JsonValue> {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype && prototype !== SealedShard.prototype) {
    throw notGenuine('it is not a plain object');
  }
  // Without a prototype, "__proto__" is an ordinary, and unknown, key.
  const copy: Record<string, JsonValue> = Object.create(null);
  for (const key of keysOf(value)) {
    if (typeof key !== 'string') throw notGenuine('it has a symbol key');
    const property = Object.getOwnPropertyDescriptor(value, key);
    if (property === undefined || !('value' in property) || property.enumerable !== true) {
      throw notGenuine('it has a property that is not a plain value');
    }
    copy[key] = key === 'source' ? copyFiles(property.value) : copyValue(property.value);
  }
  return copy;
}

/** The one array of a handle: flat objects, as many as a model may have files. */
function copyFiles(value: unknown): JsonValue {
  if (!Array.isArray(value)) return copyValue(value);
  if (value.length > MAX_FILES) throw notGenuine(`"source" has more than ${MAX_FILES} files`);
  return Array.from({ length: value.length }, (_, index) => copyValue(value[index]));
}

function copyValue(value: unknown): JsonValue {
  if (typeof value === 'string') checkLength(value);
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || Object.is(value, -0))
      throw notGenuine('it holds a number that is not a safe integer');
    return value;
  }
  // The device and the files hold no further objects: the recursion ends there.
  if (typeof value === 'object' && !Array.isArray(value)) return copyFlat(value);
  throw notGenuine('it holds a value that is not JSON');
}

function copyFlat(value: object): Record<string, JsonValue> {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype)
    throw notGenuine('it holds an object of a foreign class');
  const copy: Record<string, JsonValue> = Object.create(null);
  for (const key of keysOf(value)) {
    const property = Object.getOwnPropertyDescriptor(value, key);
    const inner: unknown = property?.value;
    if (typeof key !== 'string' || property?.enumerable !== true)
      throw notGenuine('it has a hidden property');
    if (inner !== null && typeof inner !== 'string' && !isPlainInteger(inner)) {
      throw notGenuine('it holds an object with a value of a wrong type');
    }
    if (typeof inner === 'string') checkLength(inner);
    copy[key] = inner;
  }
  return copy;
}

function isPlainInteger(value: unknown): value is number {
  return Number.isSafeInteger(value) && !Object.is(value, -0);
}

function isRecord(value: JsonValue | undefined): value is Record<string, JsonValue> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function requireKeys(
  record: Readonly<Record<string, unknown>>,
  keys: readonly string[],
  where: string,
): void {
  const found = Object.keys(record);
  const unknown = found.find((key) => !keys.includes(key));
  if (unknown !== undefined) throw notGenuine(`${where} has an unknown key`);
  const missing = keys.find((key) => !found.includes(key));
  if (missing !== undefined) throw notGenuine(`${where} has no "${missing}"`);
}
