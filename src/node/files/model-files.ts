import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import {
  checkLabel,
  checkOneOf,
  checkOptions,
  invalidInput,
  type OptionKeys,
  VramError,
} from '../../base/index.js';
import {
  checkShardsAgainstIndex,
  type ExpectedDigests,
  parseExpected,
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
import { type FileSource, fileSource } from './file-source.js';

export type ModelFormat = 'safetensors' | 'gguf' | 'onnx' | 'raw';

/** What tells a file apart from another, or from itself after a change. */
export interface SourceFacts {
  /** Absolute. */
  readonly path: string;
  readonly byteLength: number;
  /** Nanoseconds since 1970. */
  readonly mtimeNs: bigint;
  readonly inode: bigint;
}

/** One file of a model: what is sealed as one shard. */
export interface ModelShard {
  /** Its path inside the model's folder, `/` between the parts. */
  readonly label: string;
  /** Absolute. */
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

export interface OpenModelOptions {
  /** `auto`, the default, goes by the file's name, then by its first bytes; what is not known is raw. */
  readonly format?: ModelFormat | 'auto';
}

const MODEL_KEYS = { format: true } satisfies OptionKeys<OpenModelOptions>;
const INDEX_SUFFIX = '.safetensors.index.json';
const FORMATS = ['auto', 'safetensors', 'gguf', 'onnx', 'raw'] as const;
const GGUF_PART = /^(.+)-([0-9]{5})-of-([0-9]{5})\.gguf$/;
const MAX_GGUF_PARTS = 4096;
const MAX_EXPECTED_BYTES = 16 * 1024 * 1024;

/**
 * Finds the shards of a model and their tensors, reading headers alone. `path` is a file (safetensors, a `*.safetensors.index.json`, GGUF, any
 * part of a split GGUF, ONNX, or raw bytes) or a folder that holds one model.
 *
 * Files that a model names lie in its folder, symbolic links resolved; in a Hugging Face cache they may also lie in the `blobs` folder beside
 * its snapshots.
 *
 * Errors: INVALID_INPUT for what is missing, not a model, or against its format's rules; SOURCE_MISMATCH if a file changes meanwhile.
 */
export async function openModel(path: string, options: OpenModelOptions = {}): Promise<Model> {
  checkOptions('options', options, MODEL_KEYS);
  const format = checkOneOf('format', options.format ?? 'auto', FORMATS);
  if (typeof path !== 'string' || path.length === 0) throw invalidInput('path', 'must be a non-empty string');
  if (path.includes('\0')) throw invalidInput('path', 'must not contain null bytes');
  const file = (await isFolder(path)) ? await modelFileIn(resolve(path), format) : resolve(path);
  const name = checkLabel('path', basename(file));
  const known = format === 'auto' ? await formatOf(file) : format;
  switch (known) {
    case 'safetensors':
      return name.endsWith(INDEX_SUFFIX)
        ? await openSharded(file)
        : modelOf(known, [await openFile(file, name, readSafetensors)]);
    case 'gguf':
      return modelOf(known, await openGguf(file, name));
    case 'onnx':
      return await openOnnx(file, name);
    case 'raw':
      return modelOf(known, [await openFile(file, name, refuseEmpty)]);
  }
}

/**
 * Opens a shard for sealing, healing or reading a tensor. Errors: SOURCE_MISMATCH if the file is no longer what openModel() saw;
 * INVALID_INPUT if it cannot be opened.
 */
export async function openShard(shard: ModelShard): Promise<FileSource> {
  return await openUnchanged(shard.facts);
}

/** The facts of a file as it is now. Errors: INVALID_INPUT if it is missing, unreadable or no regular file. */
export async function sourceFacts(path: string): Promise<SourceFacts> {
  const source = await fileSource(path);
  try {
    return factsOf(source);
  } finally {
    await source.close();
  }
}

/**
 * Opens the file that facts were taken from, for instance to heal from it. Errors: SOURCE_MISMATCH if it is not the same any more;
 * INVALID_INPUT if it cannot be opened.
 */
export async function openUnchanged(facts: SourceFacts): Promise<FileSource> {
  const source = await fileSource(facts.path);
  const now = factsOf(source);
  const changed =
    (now.byteLength !== facts.byteLength && 'size') ||
    (now.mtimeNs !== facts.mtimeNs && 'time of change') ||
    (now.inode !== facts.inode && 'inode');
  if (changed === false) return source;
  await source.close();
  throw new VramError(
    'SOURCE_MISMATCH',
    `the file "${source.label}" has another ${changed} than when it was registered`,
  );
}

/**
 * Expected digests from a command line or configuration: the digest itself, or the path of a list or pointer (see parseExpected).
 * Errors: INVALID_INPUT.
 */
export async function loadExpected(value: string): Promise<ExpectedDigests> {
  if (typeof value !== 'string') throw invalidInput('expected', 'must be a string');
  if (/^(sha\d+[:-]|fsverity-sha256-12:)/.test(value.trim())) return parseExpected(value);
  const source = await fileSource(value);
  try {
    if (source.byteLength > MAX_EXPECTED_BYTES) {
      throw invalidInput('expected', `is a file of more than ${MAX_EXPECTED_BYTES} bytes`);
    }
    const bytes = await accessTo(source).read(0, source.byteLength);
    return parseExpected(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    if (error instanceof TypeError) throw invalidInput('expected', 'is a file that is not UTF-8 text', error);
    throw error;
  } finally {
    await source.close();
  }
}

function factsOf(source: FileSource): SourceFacts {
  return {
    path: source.path,
    byteLength: source.byteLength,
    mtimeNs: source.mtimeNs,
    inode: source.inode,
  };
}

function modelOf(format: ModelFormat, shards: readonly ModelShard[]): Model {
  const total = (figure: (shard: ModelShard) => number): number =>
    shards.reduce((sum, shard) => sum + figure(shard), 0);
  return {
    format,
    shards,
    tensorCount: total(({ tensors }) => tensors.length),
    byteLength: total(({ byteLength }) => byteLength),
  };
}

type ReadTensors = (access: RandomAccess, what: string) => Promise<TensorIndex>;

async function openFile(path: string, label: string, read: ReadTensors): Promise<ModelShard> {
  return await withFile(path, async (source) => {
    const tensors = await read(accessTo(source), label);
    return { label, path: source.path, byteLength: source.byteLength, tensors, facts: factsOf(source) };
  });
}

/** Runs `read` on an open file; what it found counts only if the file is still the same afterwards. */
async function withFile<T>(path: string, read: (source: FileSource) => Promise<T>): Promise<T> {
  const source = await fileSource(path);
  try {
    const result = await read(source);
    await source.unchanged();
    return result;
  } finally {
    await source.close();
  }
}

function accessTo(source: FileSource): RandomAccess {
  return {
    byteLength: source.byteLength,
    read: (offset, length) => source.readRange(offset, length),
  };
}

async function refuseEmpty(access: RandomAccess, what: string): Promise<TensorIndex> {
  if (access.byteLength === 0) throw invalidInput(what, 'is empty');
  return [];
}

async function openSharded(indexPath: string): Promise<Model> {
  const what = basename(indexPath);
  const index = await withFile(indexPath, (source) => readShardedIndex(accessTo(source), what));
  const folder = await ModelFolder.of(indexPath);
  const shards: ModelShard[] = [];
  for (const file of index.files)
    shards.push(await openFile(await folder.resolve(file), file, readSafetensors));
  checkShardsAgainstIndex(
    index,
    shards.map(({ label, tensors }) => ({ file: label, tensors })),
    what,
  );
  return modelOf('safetensors', shards);
}

async function openGguf(path: string, name: string): Promise<ModelShard[]> {
  const part = GGUF_PART.exec(name);
  if (part === null) return [await openFile(path, name, readGguf)];
  const [, stem = '', , countDigits = ''] = part;
  const count = Number(countDigits);
  if (count === 0 || count > MAX_GGUF_PARTS) throw invalidInput(name, `is part of a model of ${count} parts`);
  const folder = await ModelFolder.of(path);
  const shards: ModelShard[] = [];
  const names = new Set<string>();
  for (let i = 1; i <= count; i++) {
    const file = `${stem}-${String(i).padStart(5, '0')}-of-${countDigits}.gguf`;
    const shard = await openFile(await folder.resolve(file), file, readGguf);
    for (const tensor of shard.tensors) {
      if (names.has(tensor.name))
        throw invalidInput(file, `has the tensor ${quoted(tensor.name)} of another part`);
      names.add(tensor.name);
    }
    shards.push(shard);
  }
  return shards;
}

async function openOnnx(path: string, name: string): Promise<Model> {
  const { shard, external } = await withFile(path, async (source) => {
    const index = await readOnnx(accessTo(source), name);
    const { tensors } = index;
    return {
      external: index.external,
      shard: {
        label: name,
        path: source.path,
        byteLength: source.byteLength,
        tensors,
        facts: factsOf(source),
      },
    };
  });
  const files = new Map<string, TensorEntry[]>();
  for (const { path: file, tensor } of external) {
    const tensors = files.get(file) ?? [];
    tensors.push(tensor);
    files.set(file, tensors);
  }
  const folder = await ModelFolder.of(path);
  const shards: ModelShard[] = [shard];
  for (const [file, tensors] of files) {
    const place: ReadTensors = async (access, what) => placeExternalTensors(tensors, access.byteLength, what);
    shards.push(await openFile(await folder.resolve(file), file, place));
  }
  return modelOf('onnx', shards);
}

/** Where the files that a model names may lie. */
class ModelFolder {
  readonly #root: string;
  readonly #blobs: string | null;

  private constructor(root: string, blobs: string | null) {
    this.#root = root;
    this.#blobs = blobs;
  }

  /** The folder of the file as it was named: the file itself may be a link. */
  static async of(file: string): Promise<ModelFolder> {
    const root = await realpath(dirname(file));
    const snapshot = root.split(sep);
    // models--<owner>--<name>/snapshots/<commit>/... links into models--<owner>--<name>/blobs/.
    const at = snapshot.findIndex(
      (part, i) => part === 'snapshots' && snapshot[i - 1]?.startsWith('models--') && i + 1 < snapshot.length,
    );
    return new ModelFolder(root, at < 0 ? null : join(snapshot.slice(0, at).join(sep), 'blobs'));
  }

  /** The real path of a file of this folder. Errors: INVALID_INPUT if it is missing or leaves the folder through a link. */
  async resolve(file: string): Promise<string> {
    let real: string;
    try {
      real = await realpath(join(this.#root, file));
    } catch (cause) {
      throw invalidInput(file, 'is named by the model but cannot be found in its folder', cause);
    }
    const inside = relative(this.#root, real);
    const leaves = inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside);
    if (leaves && dirname(real) !== this.#blobs)
      throw invalidInput(file, 'is a link out of the folder of the model');
    return real;
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (cause) {
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    throw invalidInput('path', missing ? 'names nothing that exists' : 'cannot be opened', cause);
  }
}

/** The one model of a folder. */
async function modelFileIn(folder: string, format: ModelFormat | 'auto'): Promise<string> {
  if (format === 'raw') throw invalidInput('path', 'is a directory: name the raw files');
  const names = await readdir(folder);
  const wanted = names.filter((name) => format === 'auto' || formatByName(name) === format).sort();
  const indexes = wanted.filter((name) => name.endsWith(INDEX_SUFFIX));
  // An index speaks for the safetensors files beside it, the first part of a split GGUF for all.
  const models = wanted.filter((name) => {
    const known = formatByName(name);
    if (known === 'safetensors') return indexes.length === 0 || name.endsWith(INDEX_SUFFIX);
    const part = known === 'gguf' ? GGUF_PART.exec(name) : null;
    return known !== null && (part === null || part[2] === '00001');
  });
  const [model] = models;
  if (model === undefined)
    throw invalidInput('path', 'is a directory without a safetensors, GGUF or ONNX model');
  if (models.length > 1)
    throw invalidInput('path', `is a directory with ${models.length} models: name one of them`);
  return join(folder, model);
}

function formatByName(name: string): Exclude<ModelFormat, 'raw'> | null {
  if (name.endsWith('.safetensors') || name.endsWith(INDEX_SUFFIX)) return 'safetensors';
  if (name.endsWith('.gguf')) return 'gguf';
  if (name.endsWith('.onnx')) return 'onnx';
  return null;
}

async function formatOf(path: string): Promise<ModelFormat> {
  const byName = formatByName(basename(path));
  if (byName !== null) return byName;
  const start = await withFile(path, (source) => accessTo(source).read(0, Math.min(4, source.byteLength)));
  return new TextDecoder().decode(start) === 'GGUF' ? 'gguf' : 'raw';
}
