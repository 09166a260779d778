import { expect, it } from 'vitest';
import { countCalls, managerWork, regionWork, sharedWork, sweepOne, wholeRun } from './sweep.js';
import { describeCuda } from './testbed.js';

const INVALID_VALUE = 1;
/** Hundreds of runs in one test: on a busy machine the ordinary limit is too short. */
const SWEEP_MS = 240_000;
const VIRTUAL_MEMORY = /^cuMem(Address|Create|Release|Map|Unmap|SetAccess|GetAccess|Export|Import)/;

describeCuda('cuda: every driver function made to fail', (bed) => {
  const { emulator } = bed;

  it.each([
    ['device, region and lease', regionWork, /./],
    ['seal, verify, heal, execute, release', managerWork, /./],
    // What else a device does has been made to fail above.
    ['memory exported, imported, given up', sharedWork, VIRTUAL_MEMORY],
  ] as const)(
    '[MS-002] [RP-006] %s: first, middle and last call of each function: reached, told by type, nothing left behind',
    async (_, work, functions) => {
      const findings: unknown[] = [];
      for (const [call, count] of await countCalls(bed, work)) {
        if (!functions.test(call)) continue;
        for (const nth of new Set([1, Math.ceil(count / 2), count])) {
          const finding = await sweepOne(bed, work, call, nth, INVALID_VALUE);
          if (finding !== null) findings.push(finding);
        }
      }
      expect(findings).toEqual([]);
    },
    SWEEP_MS,
  );

  it('[MS-002] an error that the driver cannot name is told by its number', async () => {
    emulator.reset();
    emulator.failCall('cuMemCreate', 1, INVALID_VALUE);
    emulator.failCall('cuGetErrorName', 1, INVALID_VALUE);
    const { error } = await wholeRun(bed, regionWork);
    expect(error).toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringContaining('cuMemCreate returned 1'),
    });
    expect(emulator.liveAllocations().total).toBe(0);
  });
});
