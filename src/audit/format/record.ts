import {
  isJsonObject,
  type JsonObject,
  type JsonValue,
  parseStrictJson,
  RECORDED_TRACEPARENT,
  VramError,
} from '../../base/index.js';
import { AUDIT_TYPES, type AuditData, type AuditSeverity, type AuditType } from './catalogue.js';

/** A line is also a tlog-tiles entry, whose length has 16 bits. */
export const MAX_LINE_BYTES = 65_535;

/** One record as it is written: a line of canonical JSON (RFC 8785) with exactly these keys. */
export interface AuditRecord {
  readonly v: 1;
  /** From 0, without gaps. */
  readonly seq: number;
  /** 16 random bytes, hex. */
  readonly id: string;
  /** RFC 3339, UTC, milliseconds. */
  readonly ts: string;
  readonly type: AuditType;
  readonly severity: AuditSeverity;
  readonly workerId: string;
  readonly correlationId: string | null;
  /** W3C trace context, or null. */
  readonly traceparent: string | null;
  /** Number of the segment; chooses the key. */
  readonly epoch: number;
  readonly data: AuditData;
  /** mac of the record before, hex; 64 zeros in record 0. */
  readonly prev: string;
  /** HMAC-SHA256, hex. */
  readonly mac: string;
}

const MAC_MEMBER_LENGTH = '"mac":"",'.length + 64;
/**
 * The members after `id` in a canonical line. They cannot be confused with text inside `data`, because they end the
 * line.
 */
const TAIL = new RegExp(
  [
    ',"mac":"[0-9a-f]{64}","prev":"[0-9a-f]{64}","seq":(?:0|[1-9][0-9]{0,15}),"severity":"(?:CRITICAL|HIGH|MEDIUM)"',
    `,"traceparent":(?:null|"${RECORDED_TRACEPARENT}")`,
    String.raw`,"ts":"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"`,
    String.raw`,"type":"[a-z_.]{1,40}","v":1,"workerId":"[A-Za-z0-9_-]{1,256}"\}$`,
  ].join(''),
);
const MAX_TAIL_LENGTH = 700;
const TYPES: ReadonlySet<string> = new Set(AUDIT_TYPES);
const ID = /^[0-9a-f]{32}$/;
const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const KEYS = [
  'correlationId',
  'data',
  'epoch',
  'id',
  'mac',
  'prev',
  'seq',
  'severity',
  'traceparent',
  'ts',
  'type',
  'v',
  'workerId',
] as const;

/** True for RFC 3339 in UTC with milliseconds, as Date.prototype.toISOString writes it. */
export function isTimestamp(value: string): boolean {
  return TIMESTAMP.test(value) && !Number.isNaN(Date.parse(value));
}

/** The canonical line of a record in two parts, between which the `mac` member stands. */
export interface UnsignedLine {
  readonly head: string;
  readonly tail: string;
}

/** Canonical JSON of a record without its mac is `head + tail`: its keys stand in canonical order. */
export function unsignedLine(record: Omit<AuditRecord, 'mac'>): UnsignedLine {
  const traceparent = record.traceparent === null ? 'null' : `"${record.traceparent}"`;
  return {
    head:
      `{"correlationId":${JSON.stringify(record.correlationId)},"data":${sortedJson(record.data)},` +
      `"epoch":${record.epoch},"id":"${record.id}",`,
    tail:
      `"prev":"${record.prev}","seq":${record.seq},"severity":"${record.severity}",` +
      `"traceparent":${traceparent},"ts":"${record.ts}","type":"${record.type}","v":1,"workerId":"${record.workerId}"}`,
  };
}

/**
 * RFC 8785 for data of the catalogue: for safe integers and well-formed text ECMAScript's own serialisation is canonical.
 * canonicalJson(), for untrusted data, checks each value first and takes twice the time.
 */
function sortedJson(value: JsonValue): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (isArray(value)) return `[${value.map(sortedJson).join(',')}]`;
  let members = '';
  for (const key of Object.keys(value).sort()) {
    const member = value[key];
    if (member === undefined) continue;
    members += `${members === '' ? '' : ','}${JSON.stringify(key)}:${sortedJson(member)}`;
  }
  return `{${members}}`;
}

function isArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** A line that has the form of a record; nothing about it is authentic yet. */
export interface ParsedLine {
  readonly record: AuditRecord;
  /** Where the `mac` member begins and ends in the line's bytes: the rest is what the MAC covers. */
  readonly macStart: number;
  readonly macEnd: number;
}

export type LineFault = 'line-too-long' | 'not-json' | 'not-canonical' | 'bad-field';

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads one line (without its newline). Returns a fault, without throwing, for anything that the writer would not
 * write.
 */
export function parseLine(bytes: Uint8Array): ParsedLine | LineFault {
  if (bytes.length > MAX_LINE_BYTES) return 'line-too-long';
  let line: string;
  let value: unknown;
  try {
    line = decoder.decode(bytes);
    value = JSON.parse(line);
  } catch {
    // Both name the same fault: the caller reports it with the record's place.
    return 'not-json';
  }
  if (!isRecordShape(value)) return 'bad-field';
  const tail = TAIL.exec(line.length > MAX_TAIL_LENGTH ? line.slice(-MAX_TAIL_LENGTH) : line);
  if (tail === null || !isCanonical(value, line)) return 'not-canonical';
  // The tail is ASCII, so its characters are bytes.
  const macStart = bytes.length - tail[0].length + 1;
  return { record: value, macStart, macEnd: macStart + MAC_MEMBER_LENGTH };
}

/**
 * RFC 8785 writes strings and numbers as ECMAScript does, so a line is canonical if serialising gives it back and every
 * object's keys are in order. (Keys that look like array indexes would need more; records have none.)
 */
function isCanonical(value: object, line: string): boolean {
  return JSON.stringify(value) === line && keysInOrder(value);
}

function keysInOrder(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (Array.isArray(value)) return value.every(keysInOrder);
  let last = '';
  for (const [key, member] of Object.entries(value)) {
    if (key < last || !keysInOrder(member)) return false;
    last = key;
  }
  return true;
}

function isRecordShape(value: unknown): value is AuditRecord {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const keys = Object.keys(value);
  if (keys.length !== KEYS.length || !KEYS.every((key, index) => keys[index] === key)) return false;
  const record: Partial<Record<(typeof KEYS)[number], unknown>> = value;
  return (
    record.v === 1 &&
    isCount(record.seq) &&
    isCount(record.epoch) &&
    typeof record.id === 'string' &&
    ID.test(record.id) &&
    typeof record.type === 'string' &&
    TYPES.has(record.type) &&
    (record.correlationId === null || typeof record.correlationId === 'string') &&
    typeof record.data === 'object' &&
    record.data !== null &&
    !Array.isArray(record.data)
  );
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** A text of a record's data; null where there is none. */
export function dataText(record: AuditRecord, field: string): string | null {
  const value = record.data[field];
  return typeof value === 'string' ? value : null;
}

/** A JSON object from a file of the log that an attacker may have written. Errors: INVALID_INPUT naming `what`. */
export function parseJsonObject(text: string, what: string): JsonObject {
  const value = parseStrictJson(text, { what, maxDepth: 16, refuseLoneSurrogates: true });
  if (!isJsonObject(value)) throw new VramError('INVALID_INPUT', `${what} must be a JSON object`);
  return value;
}
