import type { DigestEngine } from '../../digest/index.js';
import type { ModelShard } from '../../node/index.js';
import type { CommandContext } from '../context.js';
import { EXIT, type ExitCode, exitCodeOf } from '../exit-codes.js';
import {
  checkNamesOnce,
  type ManifestTensor,
  type ModelList,
  packedDigest,
  type ShardManifest,
  shardManifest,
  tensorShards,
} from '../model-list.js';
import { formatOf, type ModelOptions } from '../model-options.js';
import { jsonDocument } from '../output.js';
import { escapeForTerminal } from '../text.js';
import { noteOnUnknownTypes } from '../unknown-types.js';

export interface TensorDigestOptions extends ModelOptions {
  readonly json: boolean;
}

/** `digest --tensors FILE...`: one list of all files, printed whole or not at all. */
export async function digestTensors(
  files: readonly string[],
  { json, layout, ...options }: TensorDigestOptions,
  { io, engine, reporter }: CommandContext,
  done: (code: ExitCode) => void,
): Promise<void> {
  const shards: ModelShard[] = [];
  let refused = false;
  for (const file of files) {
    try {
      shards.push(...(await tensorShards(file, formatOf(options))));
    } catch (error) {
      reporter.report(error, file);
      done(exitCodeOf(error));
      refused = true;
    }
  }
  if (refused) return;
  checkNamesOnce(shards);
  const hashing = engine();
  try {
    const parts = await eachShard(shards, hashing, io.signal);
    const packed = layout === 'tensors' ? await packedDigest(shards, hashing, io.signal) : null;
    // Lines have no room for what the packed tensors are.
    io.stdout(json || packed !== null ? jsonDocument(listOf(parts, packed)) : linesOf(parts));
    const note = noteOnUnknownTypes(shards.map(({ tensors }) => tensors));
    if (note !== null) io.stderr(`note: ${note}\n`);
    done(EXIT.ok);
  } finally {
    await hashing.close();
  }
}

async function eachShard(
  shards: readonly ModelShard[],
  engine: DigestEngine,
  signal: AbortSignal,
): Promise<readonly ShardManifest[]> {
  const parts: ShardManifest[] = [];
  for (const shard of shards) parts.push(await shardManifest(shard, engine, signal));
  return parts;
}

function listOf(parts: readonly ShardManifest[], packed: ModelList['packed']): ModelList {
  return {
    v: 1,
    files: parts.map(({ file }) => file),
    packed,
    tensors: parts.flatMap(({ tensors }) => tensors),
  };
}

function linesOf(parts: readonly ShardManifest[]): string {
  return parts.flatMap(({ tensors }) => tensors.map(lineOf)).join('');
}

function lineOf({ name, dtype, shape, fsverity }: ManifestTensor): string {
  return `${fsverity ?? 'protobuf'}  ${dtype}[${shape.join(',')}]  ${escapeForTerminal(name)}\n`;
}
