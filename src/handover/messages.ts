import {
  checkLabel,
  type ErrorCode,
  isJsonObject,
  isVramError,
  type JsonObject,
  type JsonValue,
  parseStrictJson,
  utf8,
} from '../base/index.js';
import type { RevokeReason } from '../events/index.js';
import type { SealedShardJson } from '../seal/index.js';
import { MAX_LINE_BYTES } from './port.js';

/** The only version of `vram-residency/share`. */
export const SHARE_VERSION = 1;

const MAX_CLIENT_BYTES = 128;
const MAX_MODEL_BYTES = 256;
const MAX_VERSIONS = 16;
/** Nesting limit of a client's message: the message object and one array in it. */
const MAX_DEPTH = 2;

/** Messages of a client. */
export type ClientMessage =
  | { readonly type: 'hello'; readonly versions: readonly number[]; readonly client: string }
  | { readonly type: 'lend'; readonly model: string; readonly maxAgeMs: number | null }
  | { readonly type: 'received'; readonly shardId: string }
  | { readonly type: 'paused'; readonly n: number }
  | { readonly type: 'end' };

/** Codes of `error` that only this protocol has. */
export type ShareCode = 'VERSION' | 'PROTOCOL' | 'TIMEOUT' | 'FORBIDDEN' | 'BUSY';

/** Messages of the server. */
export type ServerMessage =
  | {
      readonly type: 'welcome';
      readonly version: typeof SHARE_VERSION;
      readonly workerId: string;
      /** Random for each server: leases end with their server. */
      readonly instance: string;
      readonly device: {
        readonly uuid: string | null;
        readonly migUuid: string | null;
        readonly name: string;
      };
      readonly models: readonly string[];
    }
  | {
      readonly type: 'shard';
      readonly shardId: string;
      readonly seal: SealedShardJson;
      readonly byteLength: number;
      readonly mappedBytes: number;
      /** RFC 3339. */
      readonly verifiedAt: string | null;
    }
  | { readonly type: 'lent'; readonly leaseId: string }
  | { readonly type: 'verified'; readonly shardId: string; readonly ageMs: number }
  | { readonly type: 'pause'; readonly n: number }
  | { readonly type: 'resume'; readonly n: number }
  | { readonly type: 'revoked'; readonly reason: RevokeReason }
  | { readonly type: 'error'; readonly code: ErrorCode | ShareCode; readonly message: string };

/** A protocol violation. The client gets an error, and its connection is closed. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

/** One line with its newline. Null if it exceeds the limit, as the seal of a model with very many files may. */
export function encodeMessage(message: ServerMessage): Uint8Array | null {
  const line = utf8(`${JSON.stringify(message)}\n`);
  return line.length <= MAX_LINE_BYTES ? line : null;
}

/** Errors: ProtocolError, which repeats nothing of the line. */
export function decodeMessage(line: Uint8Array): ClientMessage {
  const message = parse(line);
  switch (message['type']) {
    case 'hello':
      // A newer client may add keys to its first message and still support this version.
      return {
        type: 'hello',
        versions: versions(message['versions']),
        client: label('client', message['client'], MAX_CLIENT_BYTES),
      };
    case 'lend':
      requireKeys(message, ['model'], ['maxAgeMs']);
      return {
        type: 'lend',
        model: label('model', message['model'], MAX_MODEL_BYTES),
        maxAgeMs: maxAge(message['maxAgeMs']),
      };
    case 'received':
      requireKeys(message, ['shardId']);
      return { type: 'received', shardId: label('shardId', message['shardId'], MAX_MODEL_BYTES) };
    case 'paused':
      requireKeys(message, ['n']);
      return { type: 'paused', n: count('n', message['n']) };
    case 'end':
      requireKeys(message, []);
      return { type: 'end' };
    default:
      throw new ProtocolError('"type" is not one of hello, lend, received, paused, end');
  }
}

function parse(line: Uint8Array): JsonObject {
  let message: JsonValue;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(line);
    message = parseStrictJson(text, { maxDepth: MAX_DEPTH, what: 'the line', refuseLoneSurrogates: true });
  } catch {
    throw new ProtocolError('the line is not strict JSON in UTF-8');
  }
  if (!isJsonObject(message)) throw new ProtocolError('the line is not a JSON object');
  return message;
}

function requireKeys(
  message: JsonObject,
  required: readonly string[],
  optional: readonly string[] = [],
): void {
  const missing = required.find((key) => !Object.hasOwn(message, key));
  if (missing !== undefined) throw new ProtocolError(`the message has no "${missing}"`);
  const known = ['type', ...required, ...optional];
  if (Object.keys(message).some((key) => !known.includes(key))) {
    throw new ProtocolError(`the message has a key other than ${known.join(', ')}`);
  }
}

function label(name: string, value: JsonValue | undefined, maxBytes: number): string {
  try {
    const text = checkLabel(name, value);
    if (utf8(text).length <= maxBytes) return text;
  } catch (error) {
    if (!isVramError(error)) throw error;
  }
  throw new ProtocolError(`"${name}" must be text of 1 to ${maxBytes} bytes without control characters`);
}

function versions(value: JsonValue | undefined): readonly number[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_VERSIONS) {
    throw new ProtocolError(`"versions" must be an array of 1 to ${MAX_VERSIONS} numbers`);
  }
  return value.map((each: JsonValue) => count('versions', each));
}

function count(name: string, value: JsonValue | undefined): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1) return value;
  throw new ProtocolError(`"${name}" must be a whole number from 1 on`);
}

function maxAge(value: JsonValue | undefined): number | null {
  if (value === undefined || value === null) return null;
  if (typeof value === 'number' && value >= 0) return value;
  throw new ProtocolError('"maxAgeMs" must be a number of milliseconds, at least 0');
}
