import { basename, join } from 'node:path';
import type { ExpectedDigests } from '../../source/models.js';
import { loadExpected, type Model, type ModelShard, openModel } from '../model-files.js';

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

/** The shards behind the arguments, in order. Only headers are read. Errors: INVALID_INPUT for a bad `--expect`. */
export async function checkTargets(
  paths: readonly string[],
  expect: string | undefined,
): Promise<{ readonly targets: readonly CheckTarget[]; readonly refused: readonly RefusedArgument[] }> {
  const expected = expect === undefined ? null : await loadExpected(expect);
  const found: Omit<CheckTarget, 'expected'>[] = [];
  const refused: RefusedArgument[] = [];
  for (const path of paths) {
    try {
      const model = await openModel(path);
      for (const [index, shard] of model.shards.entries()) {
        found.push({ file: nameOf(path, model, shard), shard, place: placeOf(path, model, index) });
      }
    } catch (error) {
      refused.push({ file: path, error });
    }
  }
  return { targets: withExpected(found, expected), refused };
}

function nameOf(path: string, model: Model, shard: ModelShard): string {
  if (model.shards.length === 1 && basename(path) === basename(shard.path)) return path;
  // An index file stands beside its shards, a folder above them.
  return basename(path).endsWith('.json') ? join(path, '..', shard.label) : join(path, shard.label);
}

function placeOf(path: string, model: Model, shardIndex: number): CheckTarget['place'] {
  const totalShards = model.shards.length;
  if (totalShards < 2 || totalShards > MAX_SET) return null;
  return { modelRef: basename(path), shardIndex, totalShards };
}

function withExpected(
  found: readonly Omit<CheckTarget, 'expected'>[],
  expected: ExpectedDigests | null,
): CheckTarget[] {
  const digests = expected?.forAll(found.map(({ file }) => file)) ?? [];
  return found.map((target, index) => ({ ...target, expected: digests[index]?.digest ?? null }));
}
