import type { TensorIndex } from '../../models/index.js';
import type { FileSource } from './file-source.js';
import type { SourceFacts } from './source-facts.js';

/** `raw`: any file, whose tensors are not known. */
export type ModelFormat = 'safetensors' | 'gguf' | 'onnx' | 'raw';

/** A file of a model. */
export interface ModelFile {
  /** Its path inside the model's folder, `/` between the parts. */
  readonly label: string;
  /** Absolute, as it was named: links in it are not resolved. */
  readonly path: string;
  readonly byteLength: number;
  /** As they were when the model was read. */
  readonly facts: SourceFacts;
}

/** The files of one shard. */
export interface ModelShard extends ModelFile {
  /** In the order of their bytes; empty for raw files. */
  readonly tensors: TensorIndex;
  /** What openShard() does: with it a model is what tensorSource() takes. */
  open(): Promise<FileSource>;
}

/** The files of a model, in order. */
export interface Model {
  readonly format: ModelFormat;
  /** The file that it starts from, absolute: the one that was named, or that stands for the folder. */
  readonly path: string;
  /** The index that names its files, which is not a shard; null for models without one. */
  readonly index: ModelFile | null;
  readonly shards: readonly ModelShard[];
  /** Names of safetensors files beside the index that it does not name, sorted: nothing of them is a shard. */
  readonly unlisted: readonly string[];
  readonly tensorCount: number;
  /** Of all shards. */
  readonly byteLength: number;
}
