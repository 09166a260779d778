import { memoryUsage, resourceUsage } from 'node:process';
import { isVramError } from '../../../src/base/errors.js';
import { bytesSource, tensorSource, VramManager } from '../../../src/index.js';
import type { TensorModel, TensorSource } from '../../../src/models/index.js';
import type { SealedShard } from '../../../src/seal/sealed-shard.js';
import { Failure, Skip, type StepContext } from './context.js';
import { CHUNK } from './data.js';
import { elapsedMs, rounded } from './measuring.js';

/**
 * As many as the largest known model has: 896 experts in each of 92 layers, weights and scales of three projections.
 */
const TENSORS = 494_592;
const FILES = 16;
const TENSOR_BYTES = 32;
/** Memory left free beside the shard. */
const HEADROOM_BYTES = 2 ** 30;
/** Host memory needed beside the shard: manifest, names and buffers of so many tensors. */
const HOST_LIMIT_BYTES = 2 ** 30;
/** Tensors of one block each over the test driver, as many as it hashes in some seconds. */
const EMULATED_TENSORS = 1024;

/**
 * Half a million tensors in one mapping, each on a separate block: sealed, verified, one damaged, found by name, and
 * healed.
 */
export async function manyTensors(context: StepContext): Promise<void> {
  const tensors = context.setting.emulated ? EMULATED_TENSORS : TENSORS;
  const before = memoryUsage.rss();
  const started = performance.now();
  const source = tensorSource(model(tensors));
  context.figure('tensors', source.manifest.tensors.length);
  context.figure('bytes', source.byteLength);
  context.figure('packMs', rounded(performance.now() - started));
  const manager = await VramManager.open({
    workerId: 'kit',
    device: context.deviceName(),
    policy: context.policy(),
    drills: true,
    keep: 'leaves',
  });
  try {
    const { availableBytes } = await manager.capacity();
    if (availableBytes !== null && source.byteLength + HEADROOM_BYTES > availableBytes) {
      throw new Skip(`${source.byteLength} bytes do not fit: ${availableBytes} are free`);
    }
    const sealing = performance.now();
    const shard = await manager.seal(source, { digests: ['fsverity'] });
    context.figure('sealMs', rounded(performance.now() - sealing));
    context.figure('verifyMs', rounded(await elapsedMs(() => manager.verify(shard))));
    context.figure('healMs', rounded(await healedMs(manager, shard, source)));
  } finally {
    await manager.close();
  }
  // The test driver's memory is the host's.
  const shardBytes = context.setting.emulated ? source.byteLength : 0;
  const hostBytes = resourceUsage().maxRSS * 1024 - before - shardBytes;
  context.figure('hostMiB', rounded(hostBytes / 2 ** 20));
  if (hostBytes > HOST_LIMIT_BYTES) throw new Failure(`host memory grew by ${hostBytes} bytes`);
}

/** Milliseconds that finding one flipped bit by the name of its tensor, and healing it, took. */
async function healedMs(manager: VramManager, shard: SealedShard, source: TensorSource): Promise<number> {
  const { flips } = await manager.drill(shard, { seed: 1 });
  const hit = flips[0]?.tensor;
  return await elapsedMs(async () => {
    const named = await damagedTensors(manager, shard);
    if (named.length !== 1 || named[0] !== hit) {
      throw new Failure(`a flipped bit of "${hit}" was told of ${named.length} others`);
    }
    await manager.heal(shard, source);
  });
}

async function damagedTensors(manager: VramManager, shard: SealedShard): Promise<(string | undefined)[]> {
  try {
    await manager.verify(shard);
    return [];
  } catch (error) {
    if (!isVramError(error, 'INTEGRITY_VIOLATION')) throw error;
    return (error.report?.damaged ?? []).map(({ tensor }) => tensor);
  }
}

/** Files of small tensors, one after another. */
function model(tensors: number): TensorModel {
  const perFile = Math.ceil(tensors / FILES);
  const bytes = CHUNK.subarray(0, perFile * TENSOR_BYTES);
  return {
    shards: Array.from({ length: FILES }, (_, file) => ({
      label: `model-${file}.safetensors`,
      byteLength: bytes.length,
      tensors: Array.from({ length: Math.min(perFile, tensors - file * perFile) }, (_, index) => ({
        name: `model.layers.${file}.mlp.experts.${index}.weight`,
        dtype: 'U8',
        shape: [TENSOR_BYTES],
        byteOffset: index * TENSOR_BYTES,
        byteLength: TENSOR_BYTES,
        encoding: 'raw' as const,
      })),
      open: async () => bytesSource(bytes, `model-${file}.safetensors`),
    })),
  };
}
