import type { TensorModel } from '../../models/index.js';
import type { Source, SourceCallOptions } from '../../source/index.js';

/** The source of one shard: a file or resource, or the tensors of a model. */
export interface SourceShard {
  readonly label: string;
  readonly byteLength: number;
  /** Opens the bytes again, for sealing and for healing; the caller closes the source. */
  open(options: SourceCallOptions): Promise<Source>;
}

/** A model at its source, not loaded. */
export interface SourceModel {
  /** Its last path segment, for display. */
  readonly label: string;
  readonly shards: readonly SourceShard[];
  readonly byteLength: number;
  /** Its files with their tensors; null where these have not been read. */
  readonly files: TensorModel | null;
  /** Whether the files are an ONNX model. */
  readonly isOnnx: boolean;
}
