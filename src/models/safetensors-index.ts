import { JsonScanner } from './json-scanner.js';
import type { RandomAccess } from './random-access.js';
import { quoted, type Refuse, refusalOf, tensorCalled } from './refusal.js';
import { checkTensorName, TENSOR_LIMITS, type TensorIndex } from './tensors.js';
import { checkUtf8 } from './utf8.js';

/** It bounds the names too. */
const MAX_INDEX_BYTES = 128 * 1024 * 1024;
const MAX_KEYS = 64;
const MAX_FILES = 4096;
const MAX_TENSORS = 1_048_576;
const MAX_FILE_NAME_BYTES = 255;
const MAX_SKIPPED_DEPTH = 16;
const SUFFIX = '.safetensors';

/** The content of `*.safetensors.index.json`: which file holds which tensor. */
export interface ShardedIndex {
  /** Plain file names, sorted. */
  readonly files: readonly string[];
  /** Tensor name -> file name. */
  readonly fileOf: ReadonlyMap<string, string>;
}

/**
 * Reads the index of a sharded safetensors model. File names must be plain names (no folder, no `..`) that end in
 * `.safetensors`.
 *
 * Errors: INVALID_INPUT, naming `what`.
 */
export async function readShardedIndex(access: RandomAccess, what = 'index'): Promise<ShardedIndex> {
  const refuse = refusalOf(what);
  if (access.byteLength > MAX_INDEX_BYTES) throw refuse(`is an index of more than ${MAX_INDEX_BYTES} bytes`);
  const bytes = await access.read(0, access.byteLength);
  checkUtf8(bytes, 'text', refuse);
  const scanner = new JsonScanner(bytes, refuse);
  const keys = new Set<string>();
  let map: Map<string, string> | undefined;
  scanner.object(TENSOR_LIMITS.nameBytes, (key) => {
    if (keys.has(key)) throw refuse(`has ${quoted(key)} twice in its index`);
    if (keys.size >= MAX_KEYS) throw refuse(`has more than ${MAX_KEYS} keys besides its weight_map`);
    keys.add(key);
    if (key === 'weight_map') map = readWeightMap(scanner, refuse);
    else scanner.skipValue(MAX_SKIPPED_DEPTH);
  });
  scanner.end('whitespace');
  if (map === undefined) throw refuse('has no weight_map');
  if (map.size === 0) throw refuse('has an empty weight_map');
  return { files: [...new Set(map.values())].sort(), fileOf: map };
}

function readWeightMap(scanner: JsonScanner, refuse: Refuse): Map<string, string> {
  const map = new Map<string, string>();
  const files = new Map<string, string>();
  scanner.object(TENSOR_LIMITS.nameBytes, (name) => {
    checkTensorName(name, refuse);
    if (map.has(name)) throw refuse(`has ${tensorCalled(name)} twice in its index`);
    if (map.size >= MAX_TENSORS) throw refuse(`has more than ${MAX_TENSORS} tensors in its index`);
    const file = checkFileName(scanner.string(MAX_FILE_NAME_BYTES), refuse);
    // One string for each file, not one for each tensor.
    const known = files.get(file) ?? file;
    files.set(known, known);
    if (files.size > MAX_FILES) throw refuse(`names more than ${MAX_FILES} files`);
    map.set(name, known);
  });
  return map;
}

function checkFileName(file: string, refuse: Refuse): string {
  if (/[\p{Cc}\u2028\u2029]/u.test(file)) throw refuse('names a file with control characters');
  if (/[/\\:]/.test(file)) throw refuse('names a file that is not directly in its folder');
  if (file.startsWith('.') || !file.endsWith(SUFFIX)) throw refuse('names a file that is not *.safetensors');
  return file;
}

/**
 * Every tensor that the index names lies in its file, and no file holds another one.
 * Errors: INVALID_INPUT, naming `what`.
 */
export function checkShardsAgainstIndex(
  index: ShardedIndex,
  shards: readonly { readonly file: string; readonly tensors: TensorIndex }[],
  what = 'index',
): void {
  const refuse = refusalOf(what);
  let found = 0;
  for (const { file, tensors } of shards) {
    for (const { name } of tensors) {
      const named = index.fileOf.get(name);
      if (named === undefined)
        throw refuse(`does not name ${tensorCalled(name)}, which ${quoted(file)} holds`);
      if (named !== file)
        throw refuse(`names another file for ${tensorCalled(name)} than ${quoted(file)}, which holds it`);
      found += 1;
    }
  }
  if (found === index.fileOf.size) return;
  const held = new Set(shards.flatMap(({ tensors }) => tensors.map(({ name }) => name)));
  for (const [name, file] of index.fileOf) {
    if (!held.has(name)) throw refuse(`names ${tensorCalled(name)}, which ${quoted(file)} does not hold`);
  }
}
