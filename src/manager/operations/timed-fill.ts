import type { Clock } from '../../base/index.js';
import type { Region } from '../../device/index.js';
import type { FillNatively } from '../../digest/index.js';

/** A region filled by native code, and for how long the device was waited for beside that. */
export interface TimedFill {
  readonly fill: FillNatively;
  readonly uploadMs: () => number;
}

/** Null where native code cannot reach the region's memory. */
export function timedFill({ fillNatively }: Region, clock: Clock): TimedFill | null {
  if (fillNatively === undefined) return null;
  let spentMs = 0;
  return {
    fill: async (offset, length, fill) => {
      const began = clock.monotonic();
      let fillMs = 0;
      await fillNatively(offset, length, async (sink) => {
        const from = clock.monotonic();
        await fill(sink);
        fillMs = clock.monotonic() - from;
      });
      spentMs += clock.monotonic() - began - fillMs;
    },
    uploadMs: () => spentMs,
  };
}
