import { invalidInput, toHex } from '../base/index.js';
import type { DigestEngine } from '../digest/index.js';
import { manifestBytes, type PackedDigest, quoted, safetensorsDtype, tensorSource } from '../models/index.js';
import { type ModelShard, nodeCrypto, type OpenModelOptions, openModel, openShard } from '../node/index.js';
import { digestSource } from './digest-source.js';
import { digestShard } from './tensor-digests.js';

/** The files of a model and its tensors, each with its digests. docs/formats.md, "Tensor manifest". */
export interface ModelList {
  readonly v: 1;
  readonly files: readonly ManifestFile[];
  /** Digests of the packed tensors; null where not requested. */
  readonly packed: PackedDigest | null;
  readonly tensors: readonly ManifestTensor[];
}

export interface ManifestFile {
  /** Inside the model's folder, `/` between the parts. */
  readonly name: string;
  readonly byteLength: number;
  /** 64 hex digits. */
  readonly sha256: string;
  readonly fsverity: string;
}

export interface ManifestTensor {
  readonly name: string;
  /** In the words of safetensors, else the format's own. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** null, with the digest, where the file holds protobuf values and not the elements' bytes. */
  readonly byteLength: number | null;
  /** Of exactly the tensor's bytes. */
  readonly fsverity: string | null;
}

export interface ShardManifest {
  readonly file: ManifestFile;
  readonly tensors: readonly ManifestTensor[];
}

/**
 * The files that one manifest covers. `path` is a file, an index or a folder, as openModel() takes it.
 * Errors: those of openModel(); INVALID_INPUT for a file without a known format.
 */
export async function tensorShards(
  path: string,
  options: OpenModelOptions = {},
): Promise<readonly ModelShard[]> {
  const { format, shards } = await openModel(path, options);
  if (format !== 'raw') return shards;
  throw invalidInput('path', 'is not a model with tensors: safetensors, GGUF and ONNX are known');
}

/** Names say which file and which tensor is meant. Errors: INVALID_INPUT naming what is there twice. */
export function checkNamesOnce(shards: readonly ModelShard[]): void {
  const files = new Set<string>();
  const tensors = new Set<string>();
  for (const { label, tensors: index } of shards) {
    if (files.has(label))
      throw invalidInput('file', `${quoted(label)} is there twice: a manifest is of one model`);
    files.add(label);
    for (const { name } of index) {
      if (tensors.has(name)) throw invalidInput(label, `has the tensor ${quoted(name)} of another file`);
      tensors.add(name);
    }
  }
}

/** Reads the shard once. Errors: SOURCE_MISMATCH if it is not what its index was read from; ABORTED. */
export async function shardManifest(
  shard: ModelShard,
  engine: DigestEngine,
  signal: AbortSignal,
): Promise<ShardManifest> {
  const source = await openShard(shard);
  try {
    const { file, tensors } = await digestShard(source, shard.tensors, engine, signal);
    const { byteLength, sha256, fsverity } = file;
    if (sha256 === null) throw new TypeError('unreachable: the flat hash was asked for');
    return {
      file: { name: shard.label, byteLength, sha256, fsverity },
      tensors: shard.tensors.map((tensor, i) => {
        const digest = tensors[i] ?? null;
        return {
          name: tensor.name,
          dtype: safetensorsDtype(tensor.dtype),
          shape: tensor.shape,
          byteLength: digest === null ? null : tensor.byteLength,
          fsverity: digest,
        };
      }),
    };
  } finally {
    await source.close();
  }
}

/**
 * What a seal with the layout `tensors` would say of these files. Reads them once more. Errors: those of tensorSource();
 * ABORTED.
 */
export async function packedDigest(
  shards: readonly ModelShard[],
  engine: DigestEngine,
  signal: AbortSignal,
): Promise<PackedDigest> {
  const source = tensorSource({ shards });
  try {
    const { byteLength, fsverity } = await digestSource(source, engine, { sha256: false, signal });
    const manifestSha256 = toHex(await nodeCrypto.sha256(manifestBytes(source.manifest)));
    return { byteLength, fsverity, manifestSha256 };
  } finally {
    await source.close();
  }
}
