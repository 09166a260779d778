import type { TensorIndex } from '../../models/index.js';
import type { SourceFacts } from './source-facts.js';

export type ModelFormat = 'safetensors' | 'gguf' | 'onnx' | 'raw';

/** One file of a model: what is sealed as one shard. */
export interface ModelShard {
  /** Its path inside the model's folder, `/` between the parts. */
  readonly label: string;
  /** Absolute, as it was named: links in it are not resolved. */
  readonly path: string;
  readonly byteLength: number;
  /** In the order of their bytes; empty for raw files. */
  readonly tensors: TensorIndex;
  /** As they were when the index was read. */
  readonly facts: SourceFacts;
}

export interface Model {
  readonly format: ModelFormat;
  readonly shards: readonly ModelShard[];
  readonly tensorCount: number;
  /** Of all shards. */
  readonly byteLength: number;
}
