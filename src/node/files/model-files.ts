import { checkOneOf, checkOptions, invalidInput, type OptionKeys } from '../../base/index.js';
import { type RandomAccess, readSafetensors, type TensorIndex } from '../../models/index.js';
import type { FileSource } from './file-source.js';
import { formatByName, isSafetensorsIndex, modelAmong } from './folder-model.js';
import { ggufFiles } from './gguf-parts.js';
import { ModelEntry } from './model-entry.js';
import { accessTo, fileOf, onnxFiles, shardedSafetensors, singleFile } from './model-parts.js';
import type { Model, ModelFile, ModelFormat, ModelShard } from './model-types.js';
import { START_BYTES, seemsToBe, seemsToBeJson } from './not-weights.js';
import { openUnchanged } from './source-facts.js';

/** Options of openModel(). */
export interface OpenModelOptions {
  /**
   * `auto`, the default, goes by the file's name, then by its first bytes. An unknown file is raw, unless it appears
   * not to be weights: a pointer, an error page, JSON, a pickle, an unfinished download.
   */
  readonly format?: ModelFormat | 'auto' | undefined;
}

const MODEL_KEYS = { format: true } satisfies OptionKeys<OpenModelOptions>;
const GGUF_MAGIC = new TextEncoder().encode('GGUF');
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
    return modelOf(entry, known, await partsOf(entry, known));
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

interface Parts {
  readonly shards: readonly ModelShard[];
  readonly unlisted: readonly string[];
}

async function partsOf(entry: ModelEntry, format: ModelFormat): Promise<Parts> {
  if (format === 'safetensors' && isSafetensorsIndex(entry.name)) return await shardedSafetensors(entry);
  return { shards: await shardsOf(entry, format), unlisted: [] };
}

async function shardsOf(entry: ModelEntry, format: ModelFormat): Promise<ModelShard[]> {
  switch (format) {
    case 'safetensors':
      return await singleFile(entry, readSafetensors);
    case 'gguf':
      return await ggufFiles(entry);
    case 'onnx':
      return await onnxFiles(entry);
    case 'raw':
      return await singleFile(entry, refuseEmpty);
  }
}

function modelOf(entry: ModelEntry, format: ModelFormat, { shards, unlisted }: Parts): Model {
  const { path } = entry.file;
  const index =
    format === 'safetensors' && isSafetensorsIndex(entry.name) ? fileOf(entry.file, entry.name) : null;
  let tensorCount = 0;
  let byteLength = 0;
  for (const shard of shards) {
    tensorCount += shard.tensors.length;
    byteLength += shard.byteLength;
  }
  return { format, path, index, shards, unlisted, tensorCount, byteLength };
}

/** Raw is the last resort: a file that appears to belong to a model but cannot be read as one is refused by its kind. */
async function formatOf({ file, name }: ModelEntry): Promise<ModelFormat> {
  const start = await accessTo(file).read(0, Math.min(START_BYTES, file.byteLength));
  const other = seemsToBe(name, start);
  if (other !== null) throw invalidInput(name, `is ${other}`);
  const byName = formatByName(name);
  if (byName !== null) return byName;
  if (GGUF_MAGIC.every((byte, i) => start[i] === byte)) return 'gguf';
  if (name.toLowerCase().endsWith('.json') || seemsToBeJson(start))
    throw invalidInput(name, 'seems to be JSON, not weights; the format "raw" takes any bytes');
  return 'raw';
}

async function refuseEmpty(access: RandomAccess, what: string): Promise<TensorIndex> {
  if (access.byteLength === 0) throw invalidInput(what, 'is empty');
  return [];
}
