import {
  type RandomAccess,
  readGguf,
  readOnnx,
  readSafetensors,
  type TensorIndex,
} from 'vram-residency/browser';
import type { TensorPlace } from '../protocol.js';
import { placeOf } from './blocks.js';

const GGUF_MAGIC = 'GGUF';

export interface FoundTensors {
  readonly tensors: readonly TensorPlace[];
  /** Why there are none, or null. */
  readonly note: string | null;
}

/** Where the tensors of a model file lie. A file of another kind is sealed all the same, without names. */
export async function tensorsOf(file: Blob, name: string): Promise<FoundTensors> {
  const magic = await file.slice(0, GGUF_MAGIC.length).text();
  const read = magic === GGUF_MAGIC ? readGguf : readerOf(name);
  if (read === null) {
    return { tensors: [], note: 'This is not a safetensors, GGUF or ONNX file: its blocks have no names.' };
  }
  try {
    return { tensors: placed(await read(blobAccess(file), name)), note: null };
  } catch (error) {
    const why = error instanceof Error ? error.message : 'it cannot be read';
    return { tensors: [], note: `Its tensors are unknown: ${why}` };
  }
}

type Reader = (access: RandomAccess, what: string) => Promise<TensorIndex>;

function readerOf(name: string): Reader | null {
  if (/\.safetensors$/i.test(name)) return readSafetensors;
  if (/\.gguf$/i.test(name)) return readGguf;
  if (/\.onnx$/i.test(name)) return async (access, what) => (await readOnnx(access, what)).tensors;
  return null;
}

function placed(index: TensorIndex): TensorPlace[] {
  return index
    .filter(({ byteLength }) => byteLength > 0)
    .map(({ byteOffset, ...tensor }) => placeOf({ ...tensor, offset: byteOffset }));
}

/** For the readers of model formats. */
export function blobAccess(blob: Blob): RandomAccess {
  return {
    byteLength: blob.size,
    read: async (offset, length) => new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer()),
  };
}
