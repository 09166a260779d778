import { basename, dirname, join, resolve } from 'node:path';
import { invalidInput } from '../base/index.js';
import { type ExpectedDigests, tensorSource } from '../models/index.js';
import { type Model, type ModelFile, type ModelShard, openModel } from '../node/index.js';
import { expectedDigests, withExpected } from './check-expected.js';
import { type CheckItem, type CheckTarget, isTarget } from './check-target.js';
import { checkModelOptions, formatOf, type ModelOptions } from './model-options.js';
import { noteOnUnknownTypes } from './unknown-types.js';

/** The limit of seal() for one tensor-parallel set. */
const MAX_SET = 1024;

/** The index of a model, which the list of digests names: it is read on the host, not sealed. */
export interface CheckIndex {
  readonly file: string;
  readonly index: ModelFile;
  readonly expected: string;
}

/** The options that select what is checked, and against what. */
export interface ChecklistOptions extends ModelOptions {
  readonly expect?: string;
  readonly hashing?: 'host' | 'device';
}

/** The targets that the arguments of a command name. */
export interface Checklist {
  readonly items: readonly CheckItem[];
  readonly indexes: readonly CheckIndex[];
  /** Weights beside an index that does not name them, which are not checked. */
  readonly unlisted: readonly string[];
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
      const files = model.shards.map((shard) => ({
        name: nameOf(path, folder, shard),
        byteLength: shard.byteLength,
      }));
      if (options.layout === 'tensors') items.push(tensorTarget(path, files, model, options));
      else
        items.push(
          ...model.shards.map((shard, index) =>
            fileTarget(path, files[index]?.name ?? path, model, shard, index),
          ),
        );
    } catch (error) {
      items.push({ file: path, error });
    }
  }
  if (expected === null) return { items, indexes: [], unlisted };
  const listed = listedIndexes(indexes, expected);
  // The files of a refused argument are unknown.
  if (folders && items.every(isTarget)) {
    const checked = items.flatMap(({ files }) => files.map(({ name }) => name));
    refuseUnchecked([...checked, ...listed.map(({ file }) => file)], expected);
  }
  return { items: await withExpected(items, expected, hashing), indexes: listed, unlisted };
}

/** The indexes that the list names. Others only decide which of the listed files are parts. */
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
    files: [{ name: file, byteLength }],
    manifest: null,
    note: noteOnUnknownTypes([tensors]),
    buffers: 1,
    open,
    place: placeOf(path, model, index),
    expected: {},
  };
}

/** Errors: those of tensorSource(). */
function tensorTarget(
  path: string,
  files: CheckTarget['files'],
  model: Model,
  { minBytes }: ModelOptions,
): CheckTarget {
  const options = minBytes === undefined ? {} : { minBytes };
  const { byteLength, manifest, cuts } = tensorSource(model, options);
  return {
    file: path,
    byteLength,
    tensors: manifest.tensors,
    files,
    manifest,
    note: noteOnUnknownTypes(model.shards.map((shard) => shard.tensors)),
    buffers: cuts.length,
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

/** The argument itself where it is the shard; else the shard's place in the model's folder. */
function nameOf(path: string, folder: string, shard: ModelFile): string {
  return folder !== path && shard.label === basename(path) ? path : join(folder, shard.label);
}

function placeOf(path: string, model: Model, shardIndex: number): CheckTarget['place'] {
  const totalShards = model.shards.length;
  if (totalShards < 2 || totalShards > MAX_SET) return null;
  return { modelRef: basename(path), shardIndex, totalShards };
}
