import { type VerificationReport, VramError } from '../../base/index.js';
import type { SealOptions, VramManager } from '../../manager/index.js';
import type { OnnxHost } from '../onnx/index.js';
import type { Generation, LoadedShard } from './generation.js';
import type { SourceShard } from './source-model.js';
import { tensorsOf } from './tensor-layout.js';

/** The dependencies of a load. */
export interface LoadTools {
  readonly manager: VramManager;
  /** Opens engine sessions over ONNX models with the layout `tensors`; null without an engine. */
  readonly onnx: OnnxHost | null;
}

/**
 * Seals every shard of a generation and then verifies all of them in device memory. A failed load leaves nothing
 * behind. Resolves to the last verification. Errors: those of the sources, seal() and verify(); LOAD_STALLED; the
 * reason of a cancellation.
 */
export async function load(
  tools: LoadTools,
  generation: Generation,
  onProgress: (bytes: number) => void,
): Promise<VerificationReport | null> {
  const { manager } = tools;
  const { source, watch, shards } = generation;
  let before = 0;
  try {
    for (const [index, shard] of source.shards.entries()) {
      watch.resume();
      const loading: ShardLoad = {
        ...tools,
        generation,
        shard,
        index,
        onBytes: (bytes, totalBytes) => {
          watch.saw(before + bytes);
          if (bytes === totalBytes) watch.pause();
          onProgress(before + bytes);
        },
      };
      shards.push(await sealOne(loading));
      before += shard.byteLength;
    }
    // Sealing compared the bytes with the source's, but other shards have been written since.
    let verified: VerificationReport | null = null;
    for (const { sealed } of shards) verified = await manager.verify(sealed, { signal: watch.signal });
    if (watch.signal.aborted) throw watch.failure(null);
    return verified;
  } catch (error) {
    const failure = watch.failure(error);
    const left = await release(manager, shards.splice(0));
    throw left ?? failure;
  } finally {
    watch.end();
  }
}

interface ShardLoad extends LoadTools {
  readonly generation: Generation;
  readonly shard: SourceShard;
  readonly index: number;
  readonly onBytes: (bytes: number, totalBytes: number) => void;
}

async function sealOne(loading: ShardLoad): Promise<LoadedShard> {
  const { manager, onnx, generation, shard } = loading;
  const { isOnnx } = generation.source;
  if (generation.options.layout === 'tensors' && isOnnx && onnx !== null)
    return await sealOnnx(loading, onnx);
  const source = await shard.open({ signal: generation.watch.signal });
  try {
    const sealed = await manager.seal(
      source,
      sealOptions(loading, (call) => shard.open(call)),
    );
    return { sealed, from: shard, onnx: null };
  } finally {
    await source.close();
  }
}

/** The weights that can move into sealed memory; the engine keeps the rest of the graph. */
async function sealOnnx(loading: ShardLoad, onnx: OnnxHost): Promise<LoadedShard> {
  const { manager, generation, shard } = loading;
  const { files } = generation.source;
  if (files === null) throw new TypeError('unreachable: a model without files has no layout of tensors');
  let moved: ReadonlySet<string> = new Set();
  const open: SourceShard['open'] = async () => tensorsOf(generation.source, ({ name }) => moved.has(name));
  const model = await onnx.seal(manager, files, sealOptions(loading, open));
  moved = new Set(model.sealed.moved.map(({ name }) => name));
  await model.sealed.source.close();
  const { byteLength } = model.sealed.shard;
  return { sealed: model.sealed.shard, from: { label: shard.label, byteLength, open }, onnx: model };
}

function sealOptions({ generation, index, onBytes }: ShardLoad, reopen: SourceShard['open']): SealOptions {
  const { modelRef, options, source, watch } = generation;
  const { expected, layout } = options;
  const { index: shardIndex, of: totalShards } = options.part ?? { index, of: source.shards.length };
  return {
    modelRef,
    shardIndex,
    totalShards,
    ...(layout === 'tensors'
      ? { expectedFiles: expected ?? undefined }
      : { expected: expected?.[index], hashing: options.hashing }),
    share: options.share,
    signal: watch.signal,
    reopen,
    onProgress: ({ phase, bytes, totalBytes }) => {
      if (phase === 'load') onBytes(bytes, totalBytes);
    },
  };
}

/** Wipes and frees all of them even if some fail. Resolves to the first failure. */
export async function release(
  manager: VramManager,
  shards: readonly LoadedShard[],
): Promise<VramError | null> {
  let first: VramError | null = null;
  for (const { sealed, onnx } of shards) {
    try {
      await onnx?.session.release();
      await manager.release(sealed);
    } catch (error) {
      first ??=
        error instanceof VramError
          ? error
          : new VramError('RELEASE_FAILED', 'a shard could not be released', { cause: error });
    }
  }
  return first;
}
