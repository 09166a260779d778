import {
  checkInteger,
  checkLabel,
  concatBytes,
  invalidInput,
  MAX_INTEGER,
  type VramError,
} from '../base/index.js';
import { BLOCK_BYTES } from '../digest/index.js';
import { tensorCalled } from './refusal.js';
import { TENSOR_LIMITS } from './tensors.js';

/** One published file of a model. */
export interface PackedFile {
  /** Its path inside the model's folder, `/` between the parts. */
  readonly name: string;
  readonly byteLength: number;
}

/** One tensor of a packed sequence: its place there, and its bytes in the file. */
export interface PackedTensor {
  readonly name: string;
  /** In safetensors' names (`F32`, `BF16`) where it has the type, else the format's own (`Q4_K`, `INT4`). */
  readonly dtype: string;
  /** Elements in each dimension, in the format's own order; empty for a scalar. */
  readonly shape: readonly number[];
  /** Bytes from the start of the packed sequence; a multiple of 4096. */
  readonly offset: number;
  /** Without the zeros that fill its last block. */
  readonly byteLength: number;
  /** Index in `files`. */
  readonly file: number;
  /** Bytes from the start of that file. */
  readonly fileOffset: number;
}

/**
 * The contents of a packed sequence, and their sources. Each tensor begins a block of 4096 bytes, and zeros fill its
 * last one. `tensors` is in the order of the offsets, which is that of the files and of the bytes in them. Tensors that
 * are the same bytes of the same file have one place. docs/formats.md, "Packed tensors".
 */
export interface TensorManifest {
  readonly v: 1;
  readonly files: readonly PackedFile[];
  readonly tensors: readonly PackedTensor[];
}

/** Bounds that keep a manifest's memory small; the largest model known here has 494,592 tensors. */
export const MANIFEST_LIMITS = { files: 4096, tensors: 1_048_576 } as const;

/** Entries joined into one text at a time: the text of a whole large manifest is never held beside its bytes. */
const ENTRIES_AT_ONCE = 4096;

/** A tensor's bytes with the zeros after them. */
export function paddedLength(byteLength: number): number {
  return Math.ceil(byteLength / BLOCK_BYTES) * BLOCK_BYTES;
}

/** Bytes of the packed sequence that a manifest describes. */
export function packedLength({ tensors }: TensorManifest): number {
  const last = tensors.at(-1);
  return last === undefined ? 0 : last.offset + paddedLength(last.byteLength);
}

/** Bytes of the packed sequence that belong to no tensor: zeros. */
export function paddingBytes(manifest: TensorManifest): number {
  let used = 0;
  let end = 0;
  for (const { offset, byteLength } of manifest.tensors) {
    // Tensors with one place count once.
    if (offset >= end) used += byteLength;
    end = offset + byteLength;
  }
  return packedLength(manifest) - used;
}

/**
 * The canonical JSON (RFC 8785) of a checked manifest, in UTF-8: its SHA-256 is what a seal signs as `tensors`. Keys stand
 * in canonical order below, and JSON.stringify() writes strings and integers as RFC 8785 asks.
 */
export function manifestBytes({ files, tensors }: TensorManifest): Uint8Array {
  const parts: Uint8Array[] = [];
  const encoder = new TextEncoder();
  const write = (text: string): void => void parts.push(encoder.encode(text));
  write(`{"files":[${files.map(({ name, byteLength }) => JSON.stringify({ byteLength, name })).join(',')}],`);
  write('"tensors":[');
  for (let first = 0; first < tensors.length; first += ENTRIES_AT_ONCE) {
    const entries = tensors.slice(first, first + ENTRIES_AT_ONCE).map(entryText);
    write((first === 0 ? '' : ',') + entries.join(','));
  }
  write('],"v":1}');
  return concatBytes(...parts);
}

function entryText({ byteLength, dtype, file, fileOffset, name, offset, shape }: PackedTensor): string {
  return JSON.stringify({ byteLength, dtype, file, fileOffset, name, offset, shape });
}

/**
 * A frozen, fully checked copy of an untrusted manifest: exactly the specified keys, unique names, tensors inside their
 * files, each on its own place or on exactly another's, in order and without holes.
 *
 * Errors: INVALID_INPUT, naming `argument`.
 */
export function checkTensorManifest(argument: string, value: TensorManifest): TensorManifest {
  const fault = (problem: string): VramError => invalidInput(argument, problem);
  if (typeof value !== 'object' || value === null || value.v !== 1)
    throw fault('must be a manifest with v: 1');
  const files = checkList(`${argument}.files`, value.files, MANIFEST_LIMITS.files).map((file, index) =>
    checkFile(`${argument}.files[${index}]`, file),
  );
  if (new Set(files.map(({ name }) => name)).size < files.length) throw fault('names a file twice');
  const given = checkList(`${argument}.tensors`, value.tensors, MANIFEST_LIMITS.tensors);
  const names = new Set<string>();
  const tensors: PackedTensor[] = [];
  for (const [index, each] of given.entries()) {
    const tensor = checkTensor(`${argument}.tensors[${index}]`, each, files);
    if (names.has(tensor.name)) throw fault(`has ${tensorCalled(tensor.name)} twice`);
    names.add(tensor.name);
    checkPlace(fault, tensors.at(-1), tensor);
    tensors.push(tensor);
  }
  return Object.freeze({ v: 1, files: Object.freeze(files), tensors: Object.freeze(tensors) });
}

function checkList<T>(argument: string, value: readonly T[], limit: number): readonly T[] {
  if (!Array.isArray(value) || value.length === 0) throw invalidInput(argument, 'must be a non-empty array');
  if (value.length > limit) throw invalidInput(argument, `has ${value.length} entries, more than ${limit}`);
  return value;
}

function checkFile(argument: string, file: PackedFile): PackedFile {
  if (typeof file !== 'object' || file === null) throw invalidInput(argument, 'must be an object');
  return Object.freeze({
    name: checkLabel(`${argument}.name`, file.name),
    byteLength: checkInteger(`${argument}.byteLength`, file.byteLength, 0),
  });
}

function checkTensor(argument: string, tensor: PackedTensor, files: readonly PackedFile[]): PackedTensor {
  if (typeof tensor !== 'object' || tensor === null) throw invalidInput(argument, 'must be an object');
  const { shape } = tensor;
  if (!Array.isArray(shape) || shape.length > TENSOR_LIMITS.rank) {
    throw invalidInput(`${argument}.shape`, `must be an array of at most ${TENSOR_LIMITS.rank} integers`);
  }
  const file = checkInteger(`${argument}.file`, tensor.file, 0, files.length - 1);
  const byteLength = checkInteger(`${argument}.byteLength`, tensor.byteLength, 1);
  const fileOffset = checkInteger(`${argument}.fileOffset`, tensor.fileOffset, 0);
  if (byteLength > (files[file]?.byteLength ?? 0) - fileOffset)
    throw invalidInput(argument, 'leaves its file');
  return Object.freeze({
    name: checkLabel(`${argument}.name`, tensor.name),
    dtype: checkLabel(`${argument}.dtype`, tensor.dtype),
    shape: Object.freeze(shape.map((size) => checkInteger(`${argument}.shape`, size, 0))),
    offset: checkInteger(`${argument}.offset`, tensor.offset, 0, MAX_INTEGER - byteLength),
    byteLength,
    file,
    fileOffset,
  });
}

/** `tensor` follows `previous`: right behind its padding and its bytes, or it is the same. */
function checkPlace(
  fault: (problem: string) => VramError,
  previous: PackedTensor | undefined,
  tensor: PackedTensor,
): void {
  const called = tensorCalled(tensor.name);
  if (previous !== undefined && tensor.offset === previous.offset) {
    if (isSameRange(tensor, previous)) return;
    throw fault(`has ${called} over the bytes of another`);
  }
  const next = previous === undefined ? 0 : previous.offset + paddedLength(previous.byteLength);
  if (tensor.offset !== next) throw fault(`has ${called} at ${tensor.offset}, not at ${next}`);
  if (previous === undefined || previous.file < tensor.file) return;
  if (previous.file > tensor.file || tensor.fileOffset < previous.fileOffset + previous.byteLength) {
    throw fault(`has ${called} over the bytes of another, or out of the order of its file`);
  }
}

function isSameRange(a: PackedTensor, b: PackedTensor): boolean {
  return a.file === b.file && a.fileOffset === b.fileOffset && a.byteLength === b.byteLength;
}

/** Index of the tensor whose run of blocks holds this byte; of several with one place the first. -1 behind the last run. */
export function tensorIndexAt({ tensors }: TensorManifest, byte: number): number {
  let low = 0;
  let high = tensors.length;
  // The first tensor that begins behind the byte's block.
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((tensors[middle]?.offset ?? 0) <= byte) low = middle + 1;
    else high = middle;
  }
  const last = tensors[low - 1];
  if (last === undefined || byte >= last.offset + paddedLength(last.byteLength)) return -1;
  let index = low - 1;
  while (tensors[index - 1]?.offset === last.offset) index -= 1;
  return index;
}
