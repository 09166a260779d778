import {
  blobSource,
  type Device,
  type SealedShard,
  type Source,
  type VramManager,
} from 'vram-residency/browser';
import type { SealedOnnx } from 'vram-residency/onnxruntime';
import type { ModelChoice, TensorPlace } from '../protocol.js';
import { placeOf } from './blocks.js';
import type { OnProgress } from './session.js';

const BUNDLED = 'PP-OCRv4-rec.onnx';
const MAX_LABEL = 200;
/** Why the blocks of a file have no names. */
const NO_MODEL = 'This is not a safetensors, GGUF or ONNX file: its blocks have no names.';
const PLAIN = 'Sealed as plain bytes, as you asked: its blocks have no names.';

export interface LoadedModel {
  readonly name: string;
  readonly shard: SealedShard;
  readonly source: Source;
  readonly sealMs: number;
  readonly tensors: readonly TensorPlace[];
  readonly tensorNote: string | null;
  /** Where an engine can compute on it. */
  readonly sealed: SealedOnnx | null;
}

/** Seals the visitor's choice. Errors: those of seal(), BrokenModel, and a failed download. */
export async function loadModel(
  choice: ModelChoice,
  manager: VramManager,
  device: Device | null,
  onProgress: OnProgress,
): Promise<LoadedModel> {
  if (choice.kind === 'file') {
    const { file, plain } = choice;
    return await sealFile(file, file.name, manager, onProgress, plain);
  }
  const blob = await download(`models/${BUNDLED}`, onProgress);
  // An engine computes on a GPU device; without one the file is sealed as it is, and nothing reads.
  if (device === null) return await sealFile(blob, BUNDLED, manager, onProgress);
  return await sealForEngine(blob, manager, onProgress);
}

async function sealFile(
  blob: Blob,
  fileName: string,
  manager: VramManager,
  onProgress: OnProgress,
  plain = false,
): Promise<LoadedModel> {
  const name = fileName.replace(/\p{C}/gu, ' ').slice(-MAX_LABEL);
  if (blob.size === 0) throw new Error('the file is empty: there is nothing to seal');
  const source = blobSource(blob, name);
  const { tensorsOf } = await import('./tensors.js');
  const tensors = plain ? null : await tensorsOf(blob, name);
  const noNames = plain ? PLAIN : NO_MODEL;
  const began = performance.now();
  const shard = await manager.seal(source, { shardId: shardIdOf(name), onProgress });
  return {
    name,
    shard,
    source,
    sealMs: performance.now() - began,
    tensors: tensors ?? [],
    tensorNote: tensors === null ? noNames : null,
    sealed: null,
  };
}

/** Each weight gets its own buffer, which ONNX Runtime binds in place. */
async function sealForEngine(blob: Blob, manager: VramManager, onProgress: OnProgress): Promise<LoadedModel> {
  const { sealOnnx } = await import('vram-residency/onnxruntime');
  const began = performance.now();
  const sealed = await sealOnnx(manager, blobSource(blob, BUNDLED), {
    shardId: shardIdOf(BUNDLED),
    onProgress,
  });
  return {
    name: BUNDLED,
    shard: sealed.shard,
    source: sealed.source,
    sealMs: performance.now() - began,
    tensors: sealed.manifest.tensors.map(placeOf),
    tensorNote: null,
    sealed,
  };
}

/** Its id in sentences and records: the characters of the file's name that an id may contain. */
function shardIdOf(name: string): string {
  const id = name.replace(/[^A-Za-z0-9_-]+/g, '-').replace(/^-+|-+$/g, '');
  return id === '' ? 'model' : id.slice(0, MAX_LABEL);
}

async function download(path: string, onProgress: OnProgress): Promise<Blob> {
  const response = await fetch(new URL(path, import.meta.url));
  if (!response.ok || response.body === null) {
    throw new Error(`the model could not be downloaded: the server answered ${response.status}`);
  }
  const totalBytes = Number(response.headers.get('content-length') ?? 0);
  const parts: BlobPart[] = [];
  let bytes = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    bytes += value.length;
    onProgress({ phase: 'download', bytes, totalBytes: Math.max(bytes, totalBytes) });
  }
  return new Blob(parts);
}
