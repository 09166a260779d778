import type { SealOptions } from '../manager/index.js';
import type { PackedTensor, TensorEntry, TensorManifest } from '../models/index.js';
import type { Source } from '../source/index.js';

/** One shard to check, under the name that the user gave: a file of a model, or all of its tensors. */
export interface CheckTarget {
  readonly file: string;
  readonly byteLength: number;
  /** In the order of the shard; empty if the format is unknown. */
  readonly tensors: readonly (TensorEntry | PackedTensor)[];
  /** Files behind it, in order, with the names that a list of digests may have. */
  readonly files: readonly { readonly name: string; readonly byteLength: number }[];
  /** Of the layout `tensors`, else null. */
  readonly manifest: TensorManifest | null;
  /** The number of its buffers on devices with buffers. */
  readonly buffers: number;
  /** A note on assumptions to show, or null. */
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

export type CheckItem = CheckTarget | RefusedArgument;

export function isTarget(item: CheckItem): item is CheckTarget {
  return 'open' in item;
}
