import { checkOneOf, checkOptions, invalidInput, type OptionKeys } from '../../base/index.js';
import { type RandomAccess, readSafetensors, type TensorIndex } from '../../models/index.js';
import type { FileSource } from './file-source.js';
import { formatByName, isSafetensorsIndex, modelAmong } from './folder-model.js';
import { ModelEntry } from './model-entry.js';
import { accessTo, fileOf, ggufFiles, onnxFiles, shardedSafetensors, singleFile } from './model-parts.js';
import type { Model, ModelFile, ModelFormat, ModelShard } from './model-types.js';
import { openUnchanged } from './source-facts.js';

export interface OpenModelOptions {
  /** `auto`, the default, goes by the file's name, then by its first bytes; what is not known is raw. */
  readonly format?: ModelFormat | 'auto' | undefined;
}

const MODEL_KEYS = { format: true } satisfies OptionKeys<OpenModelOptions>;
const FORMATS = ['auto', 'safetensors', 'gguf', 'onnx', 'raw'] as const;

/**
 * Finds the shards of a model and their tensors, reading headers alone. `path` is a file (safetensors, a
 * `*.safetensors.index.json`, GGUF, any part of a split GGUF, ONNX, or raw bytes) or a folder that holds one model.
 *
 * Files that a model names lie in its folder, symbolic links resolved; in a Hugging Face cache they may also lie in the
 * `blobs` folder beside its snapshots. Everything is opened first, judged by its descriptor and read from that.
 *
 * Errors: INVALID_INPUT for what is missing, not a model, or against its format's rules; SOURCE_MISMATCH if a file
 * changes meanwhile.
 */
export async function openModel(path: string, options: OpenModelOptions = {}): Promise<Model> {
  checkOptions('options', options, MODEL_KEYS);
  const format = checkOneOf('format', options.format ?? 'auto', FORMATS);
  const entry = await ModelEntry.open(path, (names) => modelAmong(names, format));
  try {
    const known = format === 'auto' ? await formatOf(entry) : format;
    return modelOf(entry, known, await shardsOf(entry, known));
  } finally {
    await entry.close();
  }
}

/**
 * Opens a shard for sealing, healing or reading a tensor, or an index to read it again. Errors: SOURCE_MISMATCH if the
 * file is no longer what openModel() saw; INVALID_INPUT if it cannot be opened.
 */
export async function openShard(shard: ModelFile): Promise<FileSource> {
  return await openUnchanged(shard.facts);
}

async function shardsOf(entry: ModelEntry, format: ModelFormat): Promise<ModelShard[]> {
  switch (format) {
    case 'safetensors':
      return isSafetensorsIndex(entry.name)
        ? await shardedSafetensors(entry)
        : await singleFile(entry, readSafetensors);
    case 'gguf':
      return await ggufFiles(entry);
    case 'onnx':
      return await onnxFiles(entry);
    case 'raw':
      return await singleFile(entry, refuseEmpty);
  }
}

function modelOf(entry: ModelEntry, format: ModelFormat, shards: readonly ModelShard[]): Model {
  const { path } = entry.file;
  const index =
    format === 'safetensors' && isSafetensorsIndex(entry.name) ? fileOf(entry.file, entry.name) : null;
  let tensorCount = 0;
  let byteLength = 0;
  for (const shard of shards) {
    tensorCount += shard.tensors.length;
    byteLength += shard.byteLength;
  }
  return { format, path, index, shards, tensorCount, byteLength };
}

async function formatOf({ file, name }: ModelEntry): Promise<ModelFormat> {
  const byName = formatByName(name);
  if (byName !== null) return byName;
  const start = await accessTo(file).read(0, Math.min(4, file.byteLength));
  return new TextDecoder().decode(start) === 'GGUF' ? 'gguf' : 'raw';
}

async function refuseEmpty(access: RandomAccess, what: string): Promise<TensorIndex> {
  if (access.byteLength === 0) throw invalidInput(what, 'is empty');
  return [];
}
