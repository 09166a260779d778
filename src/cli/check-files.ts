import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { invalidInput, isVramError } from '../base/index.js';
import type { ExpectedDigests } from '../models/index.js';
import { loadExpected, type Model, type ModelShard, openModel } from '../node/index.js';

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

export function isTarget(item: CheckItem): item is CheckTarget {
  return 'shard' in item;
}

/** The shards behind the arguments, in order. Only headers are read. Errors: INVALID_INPUT for a bad `--expect`. */
export async function checkItems(paths: readonly string[], expect: string | undefined): Promise<CheckItem[]> {
  const expected = expect === undefined ? null : await expectedDigests(expect);
  const items: CheckItem[] = [];
  for (const path of paths) {
    try {
      const model = await openModel(path);
      const folder = (await stat(path)).isDirectory() ? path : dirname(path);
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
  return withExpected(items, expected);
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
function nameOf(path: string, folder: string, shard: ModelShard): string {
  return folder !== path && shard.label === basename(path) ? path : join(folder, shard.label);
}

function placeOf(path: string, model: Model, shardIndex: number): CheckTarget['place'] {
  const totalShards = model.shards.length;
  if (totalShards < 2 || totalShards > MAX_SET) return null;
  return { modelRef: basename(path), shardIndex, totalShards };
}

/** Each target with what it must be. Errors: INVALID_INPUT if the list does not name all of them. */
function withExpected(items: readonly CheckItem[], expected: ExpectedDigests | null): CheckItem[] {
  if (expected === null) return [...items];
  const digests = expected.forAll(items.filter(isTarget).map(({ file }) => file));
  let next = 0;
  return items.map((item) =>
    isTarget(item) ? { ...item, expected: digests[next++]?.digest ?? null } : item,
  );
}
