import type { SealOptions } from '../manager/index.js';
import type { PackedTensor, TensorEntry, TensorManifest } from '../models/index.js';
import type { Source } from '../source/index.js';

/** One shard to check, and the name that people gave it: a file of a model, or all of its tensors. */
export interface CheckTarget {
  readonly file: string;
  readonly byteLength: number;
  /** As they lie in the shard; empty where the format is not known. */
  readonly tensors: readonly (TensorEntry | PackedTensor)[];
  /** Files behind it, in order, with the names that a list of digests may have. */
  readonly files: readonly { readonly name: string; readonly byteLength: number }[];
  /** Of the layout `tensors`, else null. */
  readonly manifest: TensorManifest | null;
  /** How many buffers it is laid out for, where the device has buffers. */
  readonly buffers: number;
  /** A note on assumptions, for people; else null. */
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
