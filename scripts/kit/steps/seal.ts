import { createHash } from 'node:crypto';
import { VramManager } from '../../../src/index.js';
import type { Figure } from '../runner/report.js';
import type { StepContext } from './context.js';
import { CHUNK, CHUNK_BYTES, repeatedSource } from './data.js';
import { elapsedMs, gigabytesPerSecond, rounded } from './measuring.js';

const GIB = 2 ** 30;
const SIZES = [GIB, 16 * GIB];
const CHOICES = [['fsverity'], ['sha256', 'fsverity']] as const;
/** What stays free beside the shard. */
const HEADROOM_BYTES = GIB;

/** Sealing from memory, with each choice of digests, against a flat SHA-256 of as many bytes by node:crypto. */
export async function seal(context: StepContext): Promise<void> {
  const manager = await VramManager.open({
    workerId: 'kit',
    device: context.deviceName(),
    policy: context.policy(),
  });
  const seals: Figure[] = [];
  try {
    const { availableBytes } = await manager.capacity();
    let msPerByte = 0;
    for (const size of SIZES) {
      const bytes = context.affordable(size);
      if (availableBytes !== null && bytes + HEADROOM_BYTES > availableBytes) continue;
      for (const digests of CHOICES) {
        // The last rate says what the next one will take.
        if (bytes * msPerByte > context.budgetLeftMs()) continue;
        const ms = await elapsedMs(async () => {
          const shard = await manager.seal(repeatedSource(bytes), { digests });
          await manager.release(shard);
        });
        msPerByte = ms / bytes;
        seals.push({
          bytes,
          digests: digests.join('+'),
          ms: rounded(ms),
          GBps: gigabytesPerSecond(bytes, ms),
        });
        context.figure('seals', [...seals]);
      }
      if (context.setting.emulated) break;
    }
  } finally {
    await manager.close();
  }
  const bytes = context.affordable(GIB);
  const ms = await elapsedMs(async () => {
    const hash = createHash('sha256');
    for (let at = 0; at < bytes; at += CHUNK_BYTES) hash.update(CHUNK);
    hash.digest();
  });
  context.figure('flatSha256', { bytes, ms: rounded(ms), GBps: gigabytesPerSecond(bytes, ms) });
}
