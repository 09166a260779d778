import { isJsonObject, type JsonObject, type JsonValue } from '../base/index.js';
import type { SealedFile } from '../seal/index.js';
import { notGenuine, parseObject } from './envelope.js';
import {
  type AttestedDevice,
  digestSet,
  PREDICATE_TYPES,
  type ResidencyPredicate,
  type ResidencyPredicateV2,
  type ResidencyStatement,
  SIGNED_BY,
  STATEMENT_VERSION,
} from './statement.js';

const MAX_SHARDS = 1024;
/** What a model's readers allow. */
const MAX_FILES = 4096;
const ID = /^[A-Za-z0-9_-]{1,256}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const NONCE = /^(?:[0-9a-f]{2}){16,64}$/;
const SEAL_ID = /^[0-9a-f]{32}$/;
const SHA256 = /^[0-9a-f]{64}$/;
const FSVERITY = /^fsverity-sha256-12:[0-9a-f]{64}$/;

/**
 * A statement from bytes whose signature was checked: exactly the keys below, each once, each of its type and form;
 * values that occur twice must agree. Errors: SEAL_VERIFICATION_FAILED.
 */
export function readStatement(bytes: Uint8Array): ResidencyStatement {
  const root = new Fields(parseObject(utf8(bytes), 'its statement'), 'the statement');
  root.constant('_type', STATEMENT_VERSION);
  const predicateType = root.word('predicateType', [PREDICATE_TYPES[1], PREDICATE_TYPES[2]]);
  const predicate = readPredicate(root.object('predicate'), predicateType === PREDICATE_TYPES[1] ? 1 : 2);
  const subjects = root.list('subject');
  root.end();
  const [subject] = subjects;
  if (subjects.length !== 1 || !isJsonObject(subject)) throw notGenuine('"subject" is not a list of one');
  const digest = digestSet(predicate);
  const named = new Fields(subject, '"subject"');
  named.constant('name', predicate.shardId);
  const digests = named.object('digest');
  for (const [algorithm, hex] of Object.entries(digest)) digests.constant(algorithm, hex);
  digests.end();
  named.end();
  return {
    _type: STATEMENT_VERSION,
    subject: [{ name: predicate.shardId, digest }],
    predicateType,
    predicate,
  };
}

function readPredicate(fields: Fields, version: ResidencyPredicate['v']): ResidencyPredicate {
  fields.constant('v', version);
  fields.constant('verification', 'resident');
  fields.constant('signedBy', SIGNED_BY);
  const facts = {
    nonce: fields.text('nonce', NONCE),
    verifiedAt: fields.time('verifiedAt'),
    attestedAt: fields.time('attestedAt'),
    verification: 'resident' as const,
    sealId: fields.text('sealId', SEAL_ID),
    shardId: fields.text('shardId', ID),
    workerId: fields.text('workerId', ID),
    sealedAt: fields.time('sealedAt'),
    byteLength: fields.integer('byteLength', 1),
    sha256: fields.nullable('sha256', () => fields.text('sha256', SHA256)),
    fsverity: fields.text('fsverity', FSVERITY),
    residency: fields.word('residency', ['device-local', 'unified', 'unproven', 'host']),
    immutability: fields.word('immutability', ['mmu-readonly', 'usage-locked', 'api-only']),
    emulated: fields.flag('emulated'),
    policy: fields.word('policy', ['vram-only', 'gpu', 'any']),
    device: readDevice(fields.object('device')),
    modelRef: fields.nullable('modelRef', () => fields.text('modelRef')),
    shardIndex: fields.nullable('shardIndex', () => fields.integer('shardIndex', 0, MAX_SHARDS - 1)),
    totalShards: fields.nullable('totalShards', () => fields.integer('totalShards', 1, MAX_SHARDS)),
    auditLog: fields.nullable('auditLog', () => readAuditLog(fields.object('auditLog'))),
    signedBy: SIGNED_BY,
  } as const;
  const predicate: ResidencyPredicate =
    version === 1 ? { v: 1, ...facts } : { v: 2, ...facts, ...readLayout(fields) };
  fields.end();
  const { shardIndex, totalShards, emulated, device } = predicate;
  if ((shardIndex === null) !== (totalShards === null) || (shardIndex ?? 0) >= (totalShards ?? MAX_SHARDS)) {
    throw notGenuine('"shardIndex" and "totalShards" do not fit together');
  }
  if (emulated !== (device.execution === 'emulated')) {
    throw notGenuine('"emulated" and the device do not fit together');
  }
  return predicate;
}

type Layout = Pick<ResidencyPredicateV2, 'layout' | 'tensors' | 'source' | 'shared'>;

/** The additional fields of a seal of version 2. */
function readLayout(fields: Fields): Layout {
  const layout: Layout = {
    layout: fields.word('layout', ['bytes', 'tensors']),
    tensors: fields.nullable('tensors', () => fields.text('tensors', SHA256)),
    source: fields.nullable('source', () => fields.objects('source', MAX_FILES).map(readFile)),
    shared: fields.flag('shared'),
  };
  const described = layout.tensors !== null && layout.source !== null;
  const bare = layout.tensors === null && layout.source === null;
  if (layout.layout === 'tensors' ? !described : !bare) {
    throw notGenuine('"layout", "tensors" and "source" do not fit together');
  }
  return layout;
}

function readFile(fields: Fields): SealedFile {
  const file = {
    sha256: fields.nullable('sha256', () => fields.text('sha256', SHA256)),
    fsverity: fields.nullable('fsverity', () => fields.text('fsverity', FSVERITY)),
    byteLength: fields.integer('byteLength', 0),
  };
  fields.end();
  return file;
}

function readDevice(fields: Fields): AttestedDevice {
  const device: AttestedDevice = {
    backend: fields.word('backend', ['cuda', 'webgpu', 'host']),
    index: fields.integer('index', 0),
    name: fields.text('name'),
    uuid: fields.nullable('uuid', () => fields.text('uuid')),
    driver: fields.nullable('driver', () => fields.text('driver')),
    execution: fields.word('execution', ['hardware', 'software', 'emulated']),
    ecc: fields.word('ecc', ['on', 'off', 'unknown']),
  };
  fields.end();
  return device;
}

function readAuditLog(fields: Fields): NonNullable<ResidencyPredicate['auditLog']> {
  const head = {
    origin: fields.text('origin'),
    size: fields.integer('size', 0),
    root: fields.text('root', SHA256),
    checkpoint: fields.nullable('checkpoint', () => fields.text('checkpoint')),
  };
  fields.end();
  return head;
}

/** One object's keys, each taken once by its form; `end` refuses keys that were not taken. */
class Fields {
  readonly #fields: JsonObject;
  readonly #where: string;
  readonly #taken = new Set<string>();

  constructor(fields: { readonly [key: string]: JsonValue }, where: string) {
    this.#fields = fields;
    this.#where = where;
  }

  constant(key: string, expected: string | number): void {
    if (this.#take(key) !== expected) throw this.#wrong(key);
  }

  text(key: string, form?: RegExp): string {
    const value = this.#take(key);
    if (typeof value !== 'string' || form?.test(value) === false) throw this.#wrong(key);
    return value;
  }

  time(key: string): string {
    const value = this.text(key, TIME);
    // The form allows a 31st of February; the calendar does not.
    const at = new Date(value);
    if (Number.isNaN(at.getTime()) || at.toISOString() !== value) throw this.#wrong(key);
    return value;
  }

  word<T extends string>(key: string, words: readonly T[]): T {
    const value = this.#take(key);
    const found = words.find((word) => word === value);
    if (found === undefined) throw this.#wrong(key);
    return found;
  }

  integer(key: string, min: number, max = Number.MAX_SAFE_INTEGER): number {
    const value = this.#take(key);
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
      throw this.#wrong(key);
    }
    return value;
  }

  flag(key: string): boolean {
    const value = this.#take(key);
    if (typeof value !== 'boolean') throw this.#wrong(key);
    return value;
  }

  object(key: string): Fields {
    const value = this.#take(key);
    if (!isJsonObject(value)) throw this.#wrong(key);
    return new Fields(value, `"${key}"`);
  }

  list(key: string): readonly JsonValue[] {
    const value = this.#take(key);
    if (!Array.isArray(value)) throw this.#wrong(key);
    return value;
  }

  /** An array of objects, at most so many. */
  objects(key: string, limit: number): Fields[] {
    const values = this.list(key);
    if (values.length > limit) throw this.#wrong(key);
    return values.map((value) => {
      if (!isJsonObject(value)) throw this.#wrong(key);
      return new Fields(value, `a member of "${key}"`);
    });
  }

  nullable<T>(key: string, read: () => T): T | null {
    return this.#take(key) === null ? null : read();
  }

  end(): void {
    if (Object.keys(this.#fields).some((key) => !this.#taken.has(key))) {
      throw notGenuine(`${this.#where} has an unknown key`);
    }
  }

  #take(key: string): JsonValue {
    if (!Object.hasOwn(this.#fields, key)) throw notGenuine(`${this.#where} has no "${key}"`);
    this.#taken.add(key);
    return this.#fields[key] ?? null;
  }

  #wrong(key: string): ReturnType<typeof notGenuine> {
    return notGenuine(`"${key}" in ${this.#where} is not what it has to be`);
  }
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw notGenuine('its statement is not UTF-8', error);
  }
}
