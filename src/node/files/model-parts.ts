import {
  checkShardsAgainstIndex,
  placeExternalTensors,
  type RandomAccess,
  readOnnx,
  readSafetensors,
  readShardedIndex,
  type TensorEntry,
  type TensorIndex,
} from '../../models/index.js';
import { unlistedWeights } from './folder-model.js';
import type { ModelEntry } from './model-entry.js';
import { openInside } from './model-folder.js';
import type { ModelFile, ModelShard } from './model-types.js';
import type { OpenFile } from './open-file.js';
import type { OpenFolder } from './open-folder.js';
import { factsOf, openUnchanged } from './source-facts.js';

export type ReadTensors = (access: RandomAccess, what: string) => Promise<TensorIndex>;

/** A model that is one file. Errors: those of `read`; SOURCE_MISMATCH if the file changes meanwhile. */
export async function singleFile({ file, name }: ModelEntry, read: ReadTensors): Promise<ModelShard[]> {
  return [await shardOf(file, name, read)];
}

/** The files that a safetensors index names, and the names of those beside it that it does not. */
export async function shardedSafetensors(
  entry: ModelEntry,
): Promise<{ readonly shards: ModelShard[]; readonly unlisted: string[] }> {
  const { file, name } = entry;
  const index = await unchangedAfter(file, () => readShardedIndex(accessTo(file), name));
  const folder = await entry.folder();
  const shards: ModelShard[] = [];
  for (const each of index.files) shards.push(await shardInside(folder, each, readSafetensors));
  const held = shards.map(({ label, tensors }) => ({ file: label, tensors }));
  checkShardsAgainstIndex(index, held, name);
  return { shards, unlisted: unlistedWeights(await folder.names(), index.files) };
}

/** An ONNX file, and the files that hold its external data. */
export async function onnxFiles(entry: ModelEntry): Promise<ModelShard[]> {
  const { file, name } = entry;
  const { tensors, external } = await unchangedAfter(file, () => readOnnx(accessTo(file), name));
  const shards: ModelShard[] = [shardWith(file, name, tensors)];
  if (external.length === 0) return shards;
  const files = new Map<string, TensorEntry[]>();
  for (const { path, tensor } of external) {
    const held = files.get(path) ?? [];
    held.push(tensor);
    files.set(path, held);
  }
  const folder = await entry.folder();
  for (const [path, held] of files) {
    const place: ReadTensors = async (access, what) => placeExternalTensors(held, access.byteLength, what);
    shards.push(await shardInside(folder, path, place));
  }
  return shards;
}

export function accessTo(file: OpenFile): RandomAccess {
  return { byteLength: file.byteLength, read: (offset, length) => file.readRange(offset, length) };
}

export async function shardInside(folder: OpenFolder, name: string, read: ReadTensors): Promise<ModelShard> {
  const file = await openInside(folder, name);
  try {
    return await shardOf(file, name, read);
  } finally {
    await file.close();
  }
}

export async function shardOf(file: OpenFile, label: string, read: ReadTensors): Promise<ModelShard> {
  return shardWith(file, label, await unchangedAfter(file, () => read(accessTo(file), label)));
}

/** What was read of a file counts only if it is still the same afterwards. */
async function unchangedAfter<T>(file: OpenFile, read: () => Promise<T>): Promise<T> {
  const result = await read();
  await file.unchanged();
  return result;
}

function shardWith(file: OpenFile, label: string, tensors: TensorIndex): ModelShard {
  const described = fileOf(file, label);
  return { ...described, tensors, open: () => openUnchanged(described.facts) };
}

export function fileOf(file: OpenFile, label: string): ModelFile {
  return { label, path: file.path, byteLength: file.byteLength, facts: factsOf(file) };
}
