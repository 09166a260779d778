import type { Region } from '../../../../src/device/index.js';
import type { RunOptions } from '../../../../src/device/types.js';
import type { OperationEvent } from '../../../../src/events/events.js';
import { openHost, overlay, pattern, type Recorder, type TestClock, wrapRegions } from '../fixture.js';

export const GROUP = 524_288;

export const bytes = pattern(GROUP + 5000);

export const stages = (recorder: Recorder, operation: OperationEvent['operation']) =>
  recorder
    .of('operation.stage')
    .filter((event) => event.operation === operation)
    .map(({ stage, byteLength, durationMs }) => [stage, byteLength, durationMs]);

/** A manager whose clock is turned by each step of the device and of the source. */
export async function timed(turns: { write?: number; root?: number; patch?: number }) {
  let clock: TestClock | null = null;
  const turn = (ms: number | undefined): void => clock?.turn(ms ?? 0);
  const opened = await openHost({
    options: { keep: 'leaves' },
    wrap: (device) =>
      wrapRegions(device, (region) =>
        overlay(region, {
          write: async (...args: Parameters<Region['write']>) => {
            await region.write(...args);
            turn(turns.write);
          },
          root: async (options?: RunOptions) => {
            turn(turns.root);
            return await region.root(options);
          },
          patch: async (...args: Parameters<Region['patch']>) => {
            turn(turns.patch);
            await region.patch(...args);
          },
        }),
      ),
  });
  clock = opened.clock;
  return opened;
}
