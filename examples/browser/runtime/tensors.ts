import { isVramError, type RandomAccess, type TensorIndex } from 'vram-residency/browser';
import type { TensorPlace } from '../protocol.js';
import { placeOf } from './blocks.js';
import { BrokenModel } from './broken-model.js';

interface Format {
  /** As it stands behind "cannot be read as". */
  readonly what: string;
  readonly name: RegExp;
  /** Whether the first bytes of a file can only mean this format. */
  begins(first: Uint8Array): boolean;
  /** Each reader is a separate file, downloaded for the first model of its format. */
  reader(): Promise<{ read(access: RandomAccess, what: string): Promise<TensorIndex> }>;
}

/** The longest beginning that a format is known by: safetensors, a length in 8 bytes and then its header. */
const FIRST_BYTES = 9;

const FORMATS: readonly Format[] = [
  {
    what: 'GGUF',
    name: /\.gguf$/i,
    begins: (first) => String.fromCharCode(...first.subarray(0, 4)) === 'GGUF',
    reader: () => import('./formats/gguf.js'),
  },
  {
    what: 'safetensors',
    name: /\.safetensors$/i,
    // A header of under 2^32 bytes that begins as JSON does: by chance once in 2^40 files.
    begins: (first) => first[8] === 0x7b && first.subarray(4, 8).every((byte) => byte === 0),
    reader: () => import('./formats/safetensors.js'),
  },
  {
    what: 'ONNX',
    name: /\.onnx$/i,
    // Protobuf has no magic number.
    begins: () => false,
    reader: () => import('./formats/onnx.js'),
  },
];

/**
 * Where the tensors of a model file lie; null for a file that is none, by its first bytes and by its name.
 * Errors: BrokenModel for a file that claims to be a model; Blob's errors for a file that was changed or removed.
 */
export async function tensorsOf(file: Blob, name: string): Promise<TensorPlace[] | null> {
  const first = new Uint8Array(await file.slice(0, FIRST_BYTES).arrayBuffer());
  const format =
    FORMATS.find(({ begins }) => begins(first)) ?? FORMATS.find((one) => one.name.test(name)) ?? null;
  if (format === null) return null;
  const { read } = await format.reader();
  try {
    return placed(await read(blobAccess(file), name));
  } catch (error) {
    if (isVramError(error, 'INVALID_INPUT')) throw new BrokenModel(format.what, error.message, error);
    throw error;
  }
}

function placed(index: TensorIndex): TensorPlace[] {
  return index
    .filter(({ byteLength }) => byteLength > 0)
    .map(({ byteOffset, ...tensor }) => placeOf({ ...tensor, offset: byteOffset }));
}

/** For the readers of model formats. */
function blobAccess(blob: Blob): RandomAccess {
  return {
    byteLength: blob.size,
    read: async (offset, length) => new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer()),
  };
}
