import { createHash } from 'node:crypto';
import { VramManager } from '../../../src/index.js';
import type { Figure } from '../runner/report.js';
import type { StepContext } from './context.js';
import { CHUNK, CHUNK_BYTES, repeatedSource } from './data.js';
import { elapsedMs, gigabytesPerSecond, rounded } from './measuring.js';

const GIB = 2 ** 30;
const SIZES = [GIB, 16 * GIB];
/** In this order: each run supplies the digest that the device must find in later runs, where the host does not hash. */
const CHOICES = [
  { hashing: 'host', digests: ['fsverity'] },
  { hashing: 'host', digests: ['sha256', 'fsverity'] },
  { hashing: 'device', digests: ['fsverity'] },
] as const;
/** Memory left free beside the shard. */
const HEADROOM_BYTES = GIB;

/**
 * Sealing from memory, with each choice of digests and of host or device hashing, against a flat SHA-256 of as many bytes
 * by node:crypto.
 */
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
      let expected: string | null = null;
      for (const { hashing, digests } of CHOICES) {
        if (hashing === 'device' && expected === null) continue;
        // Estimates the next time from the last rate.
        if (bytes * msPerByte > context.budgetLeftMs()) continue;
        const known = hashing === 'device' && expected !== null ? { expected } : {};
        const ms = await elapsedMs(async () => {
          const shard = await manager.seal(repeatedSource(bytes), { digests, hashing, ...known });
          expected = shard.fsverity;
          await manager.release(shard);
        });
        msPerByte = ms / bytes;
        seals.push({
          bytes,
          digests: digests.join('+'),
          hashing,
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
