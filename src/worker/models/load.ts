import { type VerificationReport, VramError } from '../../base/index.js';
import type { SealOptions, VramManager } from '../../manager/index.js';
import type { Generation, LoadedShard } from './generation.js';
import type { SourceShard } from './source-model.js';

/**
 * Seals every shard of a generation and verifies what lies in device memory then. A load that fails leaves nothing
 * behind. Resolves to the last verification. Errors: those of the sources, seal() and verify(); LOAD_STALLED; what cancelled it.
 */
export async function load(
  manager: VramManager,
  generation: Generation,
  onProgress: (bytes: number) => void,
): Promise<VerificationReport | null> {
  const { source, watch, shards } = generation;
  let before = 0;
  try {
    for (const [index, shard] of source.shards.entries()) {
      watch.resume();
      shards.push(
        await sealOne(manager, generation, shard, index, (bytes) => {
          watch.saw(before + bytes);
          if (bytes === shard.byteLength) watch.pause();
          onProgress(before + bytes);
        }),
      );
      before += shard.byteLength;
    }
    // Sealing compared the bytes with the source's. Between then and now other shards were written beside them.
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

async function sealOne(
  manager: VramManager,
  { modelRef, options, source: model, watch }: Generation,
  shard: SourceShard,
  index: number,
  onBytes: (bytes: number) => void,
): Promise<LoadedShard> {
  const { signal } = watch;
  const source = await shard.open({ signal });
  try {
    const expected = options.expected?.[index];
    const sealed = await manager.seal(source, {
      ...placeOf(modelRef, options.part ?? { index, of: model.shards.length }),
      expected,
      hashing: options.hashing,
      signal,
      reopen: (call) => shard.open(call),
      onProgress: ({ phase, bytes }) => {
        if (phase === 'load') onBytes(bytes);
      },
    });
    return { sealed, from: shard };
  } finally {
    await source.close();
  }
}

function placeOf(
  modelRef: string,
  { index, of }: { readonly index: number; readonly of: number },
): Pick<SealOptions, 'modelRef' | 'shardIndex' | 'totalShards'> {
  return { modelRef, shardIndex: index, totalShards: of };
}

/** Wipes and gives back all of them, whatever becomes of each. Resolves to the first failure. */
export async function release(
  manager: VramManager,
  shards: readonly LoadedShard[],
): Promise<VramError | null> {
  let first: VramError | null = null;
  for (const { sealed } of shards) {
    try {
      await manager.release(sealed);
    } catch (error) {
      first ??=
        error instanceof VramError
          ? error
          : new VramError('RELEASE_FAILED', 'a shard could not be given back', { cause: error });
    }
  }
  return first;
}
