import { invalidInput } from '../../base/index.js';
import { type GgufSplit, quoted, readGgufPart } from '../../models/index.js';
import { ggufPart } from './folder-model.js';
import type { ModelEntry } from './model-entry.js';
import { type ReadTensors, shardInside, shardOf } from './model-parts.js';
import type { ModelShard } from './model-types.js';

const MAX_PARTS = 4096;

/**
 * A GGUF file, or all parts of the split that it is a part of. The parts' metadata must agree with their names; a part
 * is not accepted as a whole model. Errors: INVALID_INPUT, SOURCE_MISMATCH.
 */
export async function ggufFiles(entry: ModelEntry): Promise<ModelShard[]> {
  const part = ggufPart(entry.name);
  if (part === null) return [await wholeFile(entry)];
  const { count, nameOf } = part;
  if (count === 0 || count > MAX_PARTS)
    throw invalidInput(entry.name, `is part of a model of ${count} parts`);
  const folder = await entry.folder();
  const shards: ModelShard[] = [];
  const names = new Set<string>();
  let announced: number | null = null;
  for (let number = 1; number <= count; number++) {
    const file = nameOf(number);
    const reading = new PartReader();
    const shard =
      file === entry.name
        ? await shardOf(entry.file, file, reading.read)
        : await shardInside(folder, file, reading.read);
    checkPart(file, reading.split, number, count);
    announced ??= reading.split.tensors;
    for (const tensor of shard.tensors) {
      if (names.has(tensor.name))
        throw invalidInput(file, `has the tensor ${quoted(tensor.name)} of another part`);
      names.add(tensor.name);
    }
    shards.push(shard);
  }
  if (announced !== null && announced !== names.size)
    throw invalidInput(
      entry.name,
      `is part of a model of ${announced} tensors, but its parts have ${names.size}`,
    );
  return shards;
}

/** Collects a file's split metadata while its tensors are read. */
class PartReader {
  split: GgufSplit = { number: null, count: null, tensors: null };

  readonly read: ReadTensors = async (access, what) => {
    const { tensors, split } = await readGgufPart(access, what);
    this.split = split;
    return tensors;
  };
}

async function wholeFile({ file, name }: ModelEntry): Promise<ModelShard> {
  const reading = new PartReader();
  const shard = await shardOf(file, name, reading.read);
  const { number, count } = reading.split;
  if (count !== null && count > 1) {
    const which = number === null ? 'a part' : `part ${number + 1}`;
    throw invalidInput(
      name,
      `says that it is ${which} of ${count}, but is not named NAME-00001-of-0000N.gguf`,
    );
  }
  return shard;
}

function checkPart(file: string, split: GgufSplit, number: number, count: number): void {
  if (split.count !== null && split.count !== count)
    throw invalidInput(
      file,
      `says that it is one of ${split.count} parts, and its name that it is one of ${count}`,
    );
  if (split.number !== null && split.number !== number - 1)
    throw invalidInput(
      file,
      `says that it is part ${split.number + 1}, and its name that it is part ${number}`,
    );
}
