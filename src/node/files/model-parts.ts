import { invalidInput } from '../../base/index.js';
import {
  checkShardsAgainstIndex,
  placeExternalTensors,
  quoted,
  type RandomAccess,
  readGguf,
  readOnnx,
  readSafetensors,
  readShardedIndex,
  type TensorEntry,
  type TensorIndex,
} from '../../models/index.js';
import type { OpenFile } from './file-source.js';
import { ggufPart, ggufPartName } from './folder-model.js';
import type { ModelEntry } from './model-entry.js';
import { openInside } from './model-folder.js';
import type { ModelFile, ModelShard } from './model-types.js';
import type { OpenFolder } from './open-folder.js';
import { factsOf, openUnchanged } from './source-facts.js';

const MAX_GGUF_PARTS = 4096;

type ReadTensors = (access: RandomAccess, what: string) => Promise<TensorIndex>;

/** A model that is one file. Errors: those of `read`; SOURCE_MISMATCH if the file changes meanwhile. */
export async function singleFile({ file, name }: ModelEntry, read: ReadTensors): Promise<ModelShard[]> {
  return [await shardOf(file, name, read)];
}

/** The files that a safetensors index names. */
export async function shardedSafetensors(entry: ModelEntry): Promise<ModelShard[]> {
  const { file, name } = entry;
  const index = await unchangedAfter(file, () => readShardedIndex(accessTo(file), name));
  const folder = await entry.folder();
  const shards: ModelShard[] = [];
  for (const each of index.files) shards.push(await shardInside(folder, each, readSafetensors));
  const held = shards.map(({ label, tensors }) => ({ file: label, tensors }));
  checkShardsAgainstIndex(index, held, name);
  return shards;
}

/** A GGUF file, or all parts of the split that it is a part of. */
export async function ggufFiles(entry: ModelEntry): Promise<ModelShard[]> {
  const part = ggufPart(entry.name);
  if (part === null) return await singleFile(entry, readGguf);
  const { stem, count } = part;
  if (count === 0 || count > MAX_GGUF_PARTS)
    throw invalidInput(entry.name, `is part of a model of ${count} parts`);
  const folder = await entry.folder();
  const shards: ModelShard[] = [];
  const names = new Set<string>();
  for (let number = 1; number <= count; number++) {
    const file = ggufPartName(stem, number, count);
    const shard =
      file === entry.name
        ? await shardOf(entry.file, file, readGguf)
        : await shardInside(folder, file, readGguf);
    for (const tensor of shard.tensors) {
      if (names.has(tensor.name))
        throw invalidInput(file, `has the tensor ${quoted(tensor.name)} of another part`);
      names.add(tensor.name);
    }
    shards.push(shard);
  }
  return shards;
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

async function shardInside(folder: OpenFolder, name: string, read: ReadTensors): Promise<ModelShard> {
  const file = await openInside(folder, name);
  try {
    return await shardOf(file, name, read);
  } finally {
    await file.close();
  }
}

async function shardOf(file: OpenFile, label: string, read: ReadTensors): Promise<ModelShard> {
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
