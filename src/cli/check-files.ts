import { basename, dirname, join, resolve } from 'node:path';
import { invalidInput, isVramError, toHex } from '../base/index.js';
import type { SealOptions } from '../manager/index.js';
import {
  type ExpectedDigests,
  manifestBytes,
  type PackedTensor,
  type TensorEntry,
  type TensorManifest,
  tensorSource,
} from '../models/index.js';
import {
  loadExpected,
  type Model,
  type ModelFile,
  type ModelShard,
  nodeCrypto,
  openModel,
} from '../node/index.js';
import type { Source } from '../source/index.js';
import { checkModelOptions, formatOf, type ModelOptions } from './model-options.js';
import { noteOnUnknownTypes } from './unknown-types.js';

/** One shard to check, and the name that people gave it: a file of a model, or all of its tensors. */
export interface CheckTarget {
  readonly file: string;
  readonly byteLength: number;
  /** As they lie in the shard; empty where the format is not known. */
  readonly tensors: readonly (TensorEntry | PackedTensor)[];
  /** Files behind it, in order, as a list of digests may name them. */
  readonly files: readonly string[];
  /** Of the layout `tensors`, else null. */
  readonly manifest: TensorManifest | null;
  /** On what was taken for granted, for people; else null. */
  readonly note: string | null;
  open(): Promise<Source>;
  /** Set for models of several shards. */
  readonly place: {
    readonly modelRef: string;
    readonly shardIndex: number;
    readonly totalShards: number;
  } | null;
  readonly expected: Pick<SealOptions, 'expected' | 'expectedFiles'>;
}

/** An argument that names no model. */
export interface RefusedArgument {
  readonly file: string;
  readonly error: unknown;
}

/** What seal() allows in one tensor-parallel set. */
const MAX_SET = 1024;

export type CheckItem = CheckTarget | RefusedArgument;

/** The index of a model, which the list of digests names: it is read on the host, not sealed. */
export interface CheckIndex {
  readonly file: string;
  readonly index: ModelFile;
  readonly expected: string;
}

/** The options of a command that say what is checked, and against what. */
export interface ChecklistOptions extends ModelOptions {
  readonly expect?: string;
  readonly hashing?: 'host' | 'device';
}

/** What the arguments of a command stand for. */
export interface Checklist {
  readonly items: readonly CheckItem[];
  readonly indexes: readonly CheckIndex[];
  /** Weights beside an index that does not name them: nobody checks them. */
  readonly unlisted: readonly string[];
}

export function isTarget(item: CheckItem): item is CheckTarget {
  return 'open' in item;
}

/**
 * The shards behind the arguments, in order. Only headers are read. Errors: INVALID_INPUT for a bad `--expect`; also if
 * it is a list, and an argument a folder, of which it names a file that is not among what is checked.
 */
export async function checkItems(
  paths: readonly string[],
  { expect, hashing = 'host', ...options }: ChecklistOptions,
): Promise<Checklist> {
  checkModelOptions(options);
  const expected = expect === undefined ? null : await expectedDigests(expect);
  const items: CheckItem[] = [];
  const indexes: Omit<CheckIndex, 'expected'>[] = [];
  const unlisted: string[] = [];
  let folders = false;
  for (const path of paths) {
    try {
      const model = await openModel(path, formatOf(options));
      const isFolder = model.path !== resolve(path);
      const folder = isFolder ? path : dirname(path);
      folders ||= isFolder;
      for (const name of model.unlisted) unlisted.push(join(folder, name));
      if (model.index !== null) indexes.push({ file: nameOf(path, folder, model.index), index: model.index });
      const files = model.shards.map((shard) => nameOf(path, folder, shard));
      if (options.layout === 'tensors') items.push(tensorTarget(path, files, model, options));
      else
        items.push(
          ...model.shards.map((shard, index) => fileTarget(path, files[index] ?? path, model, shard, index)),
        );
    } catch (error) {
      items.push({ file: path, error });
    }
  }
  if (expected === null) return { items, indexes: [], unlisted };
  const listed = listedIndexes(indexes, expected);
  // Of an argument that is refused nobody knows the files.
  if (folders && items.every(isTarget)) {
    refuseUnchecked([...items.flatMap(({ files }) => files), ...listed.map(({ file }) => file)], expected);
  }
  return { items: await withExpected(items, expected, hashing), indexes: listed, unlisted };
}

/** Those that the list names: one that it does not name decides nothing but which of the listed files are parts. */
function listedIndexes(
  indexes: readonly Omit<CheckIndex, 'expected'>[],
  expected: ExpectedDigests,
): CheckIndex[] {
  return indexes
    .filter(({ file }) => expected.lists(file))
    .map((item) => ({ ...item, expected: expected.for(item.file).digest }));
}

function fileTarget(path: string, file: string, model: Model, shard: ModelShard, index: number): CheckTarget {
  const { byteLength, tensors, open } = shard;
  return {
    file,
    byteLength,
    tensors,
    files: [file],
    manifest: null,
    note: noteOnUnknownTypes([tensors]),
    open,
    place: placeOf(path, model, index),
    expected: {},
  };
}

/** Errors: those of tensorSource(). */
function tensorTarget(
  path: string,
  files: readonly string[],
  model: Model,
  { minBytes }: ModelOptions,
): CheckTarget {
  const options = minBytes === undefined ? {} : { minBytes };
  const { byteLength, manifest } = tensorSource(model, options);
  return {
    file: path,
    byteLength,
    tensors: manifest.tensors,
    files,
    manifest,
    note: noteOnUnknownTypes(model.shards.map((shard) => shard.tensors)),
    open: async () => tensorSource(model, options),
    place: null,
    expected: {},
  };
}

function refuseUnchecked(files: readonly string[], expected: ExpectedDigests): void {
  const [name, ...more] = expected.unused(files);
  if (name === undefined) return;
  const others = more.length === 0 ? '' : ` and ${more.length} more`;
  throw invalidInput(
    'expected',
    `names ${JSON.stringify(name)}${others}, not among the files that are checked: list the model's own files alone`,
  );
}

/** What `--expect` says. Errors: INVALID_INPUT, which blames the option also where it names a file. */
export async function expectedDigests(value: string): Promise<ExpectedDigests> {
  try {
    return await loadExpected(value);
  } catch (error) {
    if (!isVramError(error, 'INVALID_INPUT') || error.argument !== 'path') throw error;
    throw invalidInput('expected', error.message.replace('"path" ', 'is no digest, and as a file '), error);
  }
}

/** The argument itself where it is the shard; else the shard's place in the model's folder. */
function nameOf(path: string, folder: string, shard: ModelFile): string {
  return folder !== path && shard.label === basename(path) ? path : join(folder, shard.label);
}

function placeOf(path: string, model: Model, shardIndex: number): CheckTarget['place'] {
  const totalShards = model.shards.length;
  if (totalShards < 2 || totalShards > MAX_SET) return null;
  return { modelRef: basename(path), shardIndex, totalShards };
}

/** Each target with what it must be. Errors: INVALID_INPUT if the list does not name all of its files, or is of another model. */
async function withExpected(
  items: readonly CheckItem[],
  expected: ExpectedDigests,
  hashing: 'host' | 'device',
): Promise<CheckItem[]> {
  const targets = items.filter(isTarget);
  if (expected.kind === 'digest') {
    // One digest is of one shard: the file, or the packed tensors.
    const [digest] = expected.forAll(targets.map(({ file }) => file));
    return items.map((item) =>
      isTarget(item) && digest ? { ...item, expected: { expected: digest.digest } } : item,
    );
  }
  const digests = expected.forAll(targets.flatMap(({ files }) => files)).map(({ digest }) => digest);
  let next = 0;
  const result: CheckItem[] = [];
  for (const item of items) {
    if (!isTarget(item)) {
      result.push(item);
      continue;
    }
    const own = digests.slice(next, next + item.files.length);
    next += item.files.length;
    result.push({ ...item, expected: await expectationOf(item, own, expected, hashing) });
  }
  return result;
}

async function expectationOf(
  { manifest }: CheckTarget,
  digests: readonly string[],
  { packed }: ExpectedDigests,
  hashing: 'host' | 'device',
): Promise<CheckTarget['expected']> {
  const [first] = digests;
  if (manifest === null) return first === undefined ? {} : { expected: first };
  if (packed === null) return { expectedFiles: digests };
  if (toHex(await nodeCrypto.sha256(manifestBytes(manifest))) !== packed.manifestSha256) {
    throw invalidInput('expected', 'is a list of another model: its tensors lie elsewhere');
  }
  // A device that hashes sees the packed tensors alone, and their digest is of nothing else than these files' bytes.
  return hashing === 'device'
    ? { expected: packed.fsverity }
    : { expected: packed.fsverity, expectedFiles: digests };
}
