import { median } from '../../../src/cli/bench/measure.js';
import type { StepContext } from './context.js';
import { CHUNK, CHUNK_BYTES } from './data.js';
import { elapsedMs, gigabytesPerSecond, rounded } from './measuring.js';
import { driverPath, measureAddon } from './raw-device.js';

const REPEATS = 5;

/** A region filled the way sealing fills it, against the driver's own copies of as many bytes. */
export async function upload(context: StepContext): Promise<void> {
  const bytes = context.affordable(2 ** 30);
  const times: number[] = [];
  const device = await context.backend().open(context.setting.device);
  try {
    for (let round = 0; round < REPEATS; round++) {
      const region = await device.allocate(bytes);
      times.push(
        await elapsedMs(async () => {
          for (let at = 0; at < bytes; at += CHUNK_BYTES) await region.write(at, CHUNK);
          // Waits for the copies in progress.
          await region.freeze();
        }),
      );
      await region.release();
    }
  } finally {
    await device.close();
  }
  const ms = median(times);
  context.figure('bytes', bytes);
  context.figure('ms', rounded(ms));
  context.figure('GBps', gigabytesPerSecond(bytes, ms));
  const copies = measureAddon().copies(driverPath(), context.setting.device, bytes, REPEATS);
  for (const kind of ['pinned', 'pageable', 'back', 'within'] as const) {
    const copyMs = median(copies[kind]);
    context.figure(kind, { ms: rounded(copyMs), GBps: gigabytesPerSecond(bytes, copyMs) });
  }
  context.figure('againstPinned', rounded(median(copies.pinned) / ms));
}
