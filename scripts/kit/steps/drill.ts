import { isVramError } from '../../../src/base/errors.js';
import { VramManager } from '../../../src/index.js';
import { blocksOf } from '../../../src/manager/integrity/block-ranges.js';
import { fileSource } from '../../../src/node/files/file-source.js';
import type { SealedShard } from '../../../src/seal/sealed-shard.js';
import type { Source } from '../../../src/source/types.js';
import type { Figure } from '../runner/report.js';
import { Failure, kitPath, type StepContext } from './context.js';
import { repeatedSource } from './data.js';
import { elapsedMs, rounded } from './measuring.js';

const FLIPS = 64;
const SEEDS = [1, 2, 3];
const GIB = 2 ** 30;

/**
 * Flips bits of sealed memory and expects that exactly their blocks are reported, and that healing repairs the shard.
 */
export async function drill(context: StepContext): Promise<void> {
  const manager = await VramManager.open({
    workerId: 'kit',
    device: context.deviceName(),
    policy: context.policy(),
    drills: true,
    keep: 'leaves',
  });
  const drills: Figure[] = [];
  try {
    const model = context.setting.emulated ? 'silero_vad_v5.onnx' : 'ch_PP-OCRv4_rec_infer.onnx';
    const sources = [
      () => fileSource(kitPath(`../models/${model}`)),
      async () => repeatedSource(context.affordable(GIB)),
    ];
    for (const open of sources) {
      const source = await open();
      try {
        const shard = await manager.seal(source);
        for (const seed of SEEDS) {
          drills.push(await drillOnce(manager, shard, source, seed));
          context.figure('drills', [...drills]);
        }
        await manager.release(shard);
      } finally {
        await source.close();
      }
    }
  } finally {
    await manager.close();
  }
}

async function drillOnce(
  manager: VramManager,
  shard: SealedShard,
  source: Source,
  seed: number,
): Promise<Figure> {
  const { blocks } = await manager.drill(shard, { flips: FLIPS, seed });
  let found: readonly number[] | null = null;
  const detectMs = await elapsedMs(async () => {
    try {
      await manager.verify(shard);
    } catch (error) {
      if (!isVramError(error, 'INTEGRITY_VIOLATION')) throw error;
      found = [...blocksOf(error.report?.damaged ?? [])];
    }
  });
  const what = `${shard.byteLength} bytes, seed ${seed}`;
  if (found === null) throw new Failure(`${what}: ${FLIPS} flipped bits were not found`);
  if (String(found) !== String(blocks))
    throw new Failure(`${what}: the blocks named are not those that were hit`);
  const healMs = await elapsedMs(() => manager.heal(shard, source));
  const { verified } = await manager.verify(shard);
  if (!verified) throw new Failure(`${what}: not intact after healing`);
  return {
    byteLength: shard.byteLength,
    seed,
    flips: FLIPS,
    blocks: blocks.length,
    detectMs: rounded(detectMs),
    healMs: rounded(healMs),
  };
}
