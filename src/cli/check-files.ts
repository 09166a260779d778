import { basename, dirname, join, resolve } from 'node:path';
import { invalidInput, isVramError } from '../base/index.js';
import type { ExpectedDigests } from '../models/index.js';
import { loadExpected, type Model, type ModelFile, type ModelShard, openModel } from '../node/index.js';

/** One shard to check, and the name that people gave it. */
export interface CheckTarget {
  readonly file: string;
  readonly shard: ModelShard;
  /** Set for models of several shards. */
  readonly place: {
    readonly modelRef: string;
    readonly shardIndex: number;
    readonly totalShards: number;
  } | null;
  readonly expected: string | null;
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

/** What the arguments of a command stand for. */
export interface Checklist {
  readonly items: readonly CheckItem[];
  readonly indexes: readonly CheckIndex[];
  /** Weights beside an index that does not name them: nobody checks them. */
  readonly unlisted: readonly string[];
}

export function isTarget(item: CheckItem): item is CheckTarget {
  return 'shard' in item;
}

/**
 * The shards behind the arguments, in order. Only headers are read. Errors: INVALID_INPUT for a bad `--expect`; also if
 * it is a list, and an argument a folder, of which it names a file that is not among what is checked.
 */
export async function checkItems(paths: readonly string[], expect: string | undefined): Promise<Checklist> {
  const expected = expect === undefined ? null : await expectedDigests(expect);
  const items: CheckItem[] = [];
  const indexes: Omit<CheckIndex, 'expected'>[] = [];
  const unlisted: string[] = [];
  let folders = false;
  for (const path of paths) {
    try {
      const model = await openModel(path);
      const isFolder = model.path !== resolve(path);
      const folder = isFolder ? path : dirname(path);
      folders ||= isFolder;
      for (const name of model.unlisted) unlisted.push(join(folder, name));
      if (model.index !== null) indexes.push({ file: nameOf(path, folder, model.index), index: model.index });
      for (const [index, shard] of model.shards.entries()) {
        items.push({
          file: nameOf(path, folder, shard),
          shard,
          place: placeOf(path, model, index),
          expected: null,
        });
      }
    } catch (error) {
      items.push({ file: path, error });
    }
  }
  if (expected === null) return { items, indexes: [], unlisted };
  const listed = listedIndexes(indexes, expected);
  // Of an argument that is refused nobody knows the files.
  if (folders && items.every(isTarget)) refuseUnchecked([...items, ...listed], expected);
  return { items: withExpected(items, expected), indexes: listed, unlisted };
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

function refuseUnchecked(files: readonly { readonly file: string }[], expected: ExpectedDigests): void {
  const [name, ...more] = expected.unused(files.map(({ file }) => file));
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

/** Each target with what it must be. Errors: INVALID_INPUT if the list does not name all of them. */
function withExpected(items: readonly CheckItem[], expected: ExpectedDigests): CheckItem[] {
  const digests = expected.forAll(items.filter(isTarget).map(({ file }) => file));
  let next = 0;
  return items.map((item) =>
    isTarget(item) ? { ...item, expected: digests[next++]?.digest ?? null } : item,
  );
}
