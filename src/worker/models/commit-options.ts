import type { ModelPart } from '../../api-schema/index.js';
import { checkInteger, invalidInput } from '../../base/index.js';
import type { SourceModel } from './source-model.js';

/** How a model is sealed. */
export interface CommitOptions {
  /** One for every file, in order; null for any content. */
  readonly expected: readonly string[] | null;
  readonly hashing: 'host' | 'device';
  readonly part: ModelPart | null;
  /** `tensors`: one shard in which each tensor begins a block, and on WebGPU a buffer. */
  readonly layout: 'files' | 'tensors';
  /** Seal into memory that other processes can map. */
  readonly share: boolean;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
/** The limit of seal() for one tensor-parallel set. */
const MAX_SET = 1024;

/** Errors: INVALID_INPUT. */
export function checkName(name: string): string {
  if (NAME.test(name)) return name;
  throw invalidInput('name', 'must be 1 to 128 of [A-Za-z0-9._-] and begin with a letter or digit');
}

/** Checks what depends on the model itself. Errors: INVALID_INPUT. */
export function checkCommitOptions(options: CommitOptions, { shards }: SourceModel): void {
  const { expected, hashing, part, layout } = options;
  if (expected !== null && expected.length !== shards.length) {
    throw invalidInput(
      'expected',
      `names ${expected.length} digests, but the model has ${shards.length} files`,
    );
  }
  if (layout === 'tensors' && hashing === 'device') {
    throw invalidInput(
      'hashing',
      'must be "host" with layout "tensors": published files have no such digest',
    );
  }
  if (hashing === 'device' && expected === null) {
    throw invalidInput('expected', 'is needed with hashing "device": the fsverity digest of every file');
  }
  if (shards.length > MAX_SET) {
    throw invalidInput(
      'path',
      `names a model of ${shards.length} files; at most ${MAX_SET} can be one model here`,
    );
  }
  if (part === null) return;
  if (shards.length !== 1 && layout === 'files')
    throw invalidInput('part', 'needs a model of one file: each part of a set is one shard');
  checkInteger('part.of', part.of, 1, MAX_SET);
  checkInteger('part.index', part.index, 0, part.of - 1);
}
