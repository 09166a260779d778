import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import type { Device } from '../../../../src/device/index.js';
import type { EventType } from '../../../../src/events/events.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, overlay, pattern, Recorder, regionsOf, wrapRegions } from '../fixture.js';

const GROUP = 524_288;
const bytes = pattern(2 * GROUP);

/** The test's own time limit is the way out. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** An observer that takes a while to write: what it has written, not what it was told, is on record. */
class SlowRecorder extends Recorder {
  readonly written: EventType[] = [];

  constructor() {
    super(true);
    this.onEvent = async ({ type }) => {
      await new Promise((resolve) => setTimeout(resolve, 2));
      this.written.push(type);
    };
  }
}

describe('damage whose place the device does not tell', () => {
  it.each([
    ['resident', 0],
    ['readback', 0],
    // The two looks at the sample ask for nodes as well.
    ['sampled', 2],
  ] as const)(
    '[ST-001] [AU-003] is in quarantine and on record before it is asked for: %s',
    async (mode, looks) => {
      const recorder = new SlowRecorder();
      let calls = 0;
      let armed = false;
      let before: readonly EventType[] | null = null;
      let fail: (error: VramError) => void = () => undefined;
      const seen = regionsOf((device: Device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            nodes: async (level: number, first: number, count: number) => {
              if (!armed || ++calls <= looks) return await region.nodes(level, first, count);
              before = [...recorder.written];
              return await new Promise<Uint8Array>((_, reject) => {
                fail = reject;
              });
            },
          }),
        ),
      );
      const { manager } = await openHost({ recorder, wrap: seen.wrap });
      const shard = await manager.seal(bytesSource(bytes), { shardId: 'a' });
      for (const group of [0, 1]) await seen.flip(0, group * GROUP, 1);
      recorder.written.length = 0;
      armed = true;
      const verifying = failure(
        manager.verify(shard, { mode, ...(mode === 'sampled' ? { groups: 1 } : {}) }),
      );
      await until(() => before !== null);
      const records = ['seal.verification_failed', 'shard.quarantined', 'damage.located'];
      expect((before ?? []).filter((type) => records.includes(type))).toEqual(records.slice(0, 2));
      expect(recorder.of('seal.verification_failed')).toMatchObject([{ damaged: null, damagedGroups: null }]);
      expect(manager.status().quarantined).toEqual(['a']);
      expect(await failure(manager.execute(shard, () => 0))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
      fail(new VramError('DEVICE_LOST', 'it fell off the bus'));
      expect(await verifying).toMatchObject({
        code: 'INTEGRITY_VIOLATION',
        message: 'the resident bytes of shard "a" are damaged: the place could not be found',
        cause: { code: 'DEVICE_LOST' },
        report: { damaged: [], damagedGroups: 0, exact: false },
      });
      expect(recorder.of('damage.located')).toMatchObject([
        {
          sealId: shard.sealId,
          damaged: [],
          damagedGroups: 0,
          exact: false,
          error: { code: 'DEVICE_LOST', message: 'it fell off the bus' },
        },
      ]);
      await manager.close();
    },
  );

  it('[AU-003] tells the place after the quarantine, and each of the three once', async () => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({ wrap: seen.wrap, options: { keep: 'leaves' } });
    const shard = await manager.seal(bytesSource(bytes), { shardId: 'a' });
    await seen.flip(0, GROUP + 4096, 1);
    recorder.events.length = 0;
    await failure(manager.verify(shard));
    expect(recorder.types('verify').filter((type) => !type.startsWith('operation.'))).toEqual([
      'seal.verification_failed',
      'shard.quarantined',
      'damage.located',
    ]);
    expect(recorder.of('damage.located')).toMatchObject([
      { damaged: [{ firstBlock: 129, blocks: 1 }], damagedGroups: 1, exact: true, error: null },
    ]);
    await manager.close();
  });
});
