import type { Source, SourceCallOptions } from '../../source/index.js';

/** One file or resource that becomes one shard. */
export interface SourceShard {
  readonly label: string;
  readonly byteLength: number;
  /** The same bytes again, for sealing and for healing; the caller closes it. */
  open(options: SourceCallOptions): Promise<Source>;
}

/** A model as it lies where it comes from, not loaded. */
export interface SourceModel {
  /** Its last path segment, for people. */
  readonly label: string;
  readonly shards: readonly SourceShard[];
  readonly byteLength: number;
}
