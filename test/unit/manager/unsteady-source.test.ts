import { describe, expect, it } from 'vitest';
import { VramError } from '../../../src/base/errors.js';
import type { Device, Region } from '../../../src/device/types.js';
import type { VramManager } from '../../../src/manager/index.js';
import { readbackDigest } from '../../../src/manager/integrity/readback.js';
import type { SealedShard } from '../../../src/seal/index.js';
import { bytesSource } from '../../../src/source/index.js';
import type { Source } from '../../../src/source/types.js';
import { failure, openHost, overlay, pattern, regionsOf, wrapRegions } from './fixture.js';

const GROUP_BYTES = 512 * 1024;
const bytes = pattern(2 * GROUP_BYTES);

async function withTwoDamagedGroups() {
  const seen = regionsOf();
  const opened = await openHost({ wrap: seen.wrap });
  const shard = await opened.manager.seal(bytesSource(bytes));
  await seen.flip(0, 5, 1);
  await seen.flip(0, GROUP_BYTES + 5, 1);
  return { ...opened, shard };
}

/** The bytes that were sealed, but for the n-th read. */
function unsteady(failsAt: number, fail: (read: Uint8Array) => Uint8Array): Source {
  const sound = bytesSource(bytes);
  let reads = 0;
  return {
    ...sound,
    readRange: async (offset, length) => {
      const read = (await sound.readRange?.(offset, length)) ?? new Uint8Array();
      return ++reads === failsAt ? fail(read.slice()) : read;
    },
  };
}

async function damagedGroups(manager: VramManager, shard: SealedShard): Promise<number | undefined> {
  const error = await failure(manager.verify(shard));
  return error instanceof VramError && error.report !== undefined && 'damagedGroups' in error.report
    ? error.report.damagedGroups
    : undefined;
}

describe('a source that changes while a shard is healed', () => {
  const changed = (read: Uint8Array): Uint8Array => {
    read[0] = (read[0] ?? 0) ^ 1;
    return read;
  };

  it('before anything is written: nothing was healed', async () => {
    const { manager, shard } = await withTwoDamagedGroups();
    expect(await failure(manager.heal(shard, unsteady(2, changed)))).toMatchObject({
      code: 'SOURCE_MISMATCH',
      message: expect.stringMatching(/; nothing was healed$/),
    });
    expect(await damagedGroups(manager, shard)).toBe(2);
    await manager.close();
  });

  it('between check and writing: the message says how much was healed, and the quarantine stays', async () => {
    const { manager, shard } = await withTwoDamagedGroups();
    expect(await failure(manager.heal(shard, unsteady(4, changed)))).toMatchObject({
      code: 'SOURCE_MISMATCH',
      message: expect.stringMatching(
        /; it changed after 1 blocks were healed, and the shard stays in quarantine$/,
      ),
    });
    expect(await damagedGroups(manager, shard)).toBe(1);
    expect(await failure(manager.execute(shard, () => 0))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect((await manager.heal(shard, bytesSource(bytes))).healedBlocks).toBe(1);
    await manager.close();
  });
});

describe('a source that fails while damage is localised', () => {
  it.each([1, 2])('leaves the groups that were found in place: read %i', async (failsAt) => {
    const { manager, shard, recorder } = await withTwoDamagedGroups();
    const gone = new Error('the disk is gone');
    const source = unsteady(failsAt, () => {
      throw gone;
    });
    const error = await failure(manager.verify(shard, { source }));
    expect(error).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      message: expect.stringContaining('2 groups of 512 KiB'),
      report: { damagedGroups: 2, exact: false },
      cause: { cause: gone },
    });
    expect(recorder.of('damage.located')).toMatchObject([{ damagedGroups: 2, exact: false, error: null }]);
    await manager.close();
  });
});

describe('a device whose root is wrong although every part is right', () => {
  it('is not healed, and the shard goes into quarantine', async () => {
    let isWrong = false;
    const wrap = (device: Device): Device =>
      wrapRegions(device, (region) =>
        overlay(region, {
          root: async () => {
            const answer = await region.root();
            if (isWrong) answer.root[0] = (answer.root[0] ?? 0) ^ 1;
            return answer;
          },
        }),
      );
    const { manager, recorder } = await openHost({ wrap });
    const shard = await manager.seal(bytesSource(pattern(100)));
    isWrong = true;
    expect(await failure(manager.heal(shard, bytesSource(pattern(100))))).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      message: expect.stringContaining('release the shard'),
    });
    isWrong = false;
    expect(await failure(manager.execute(shard, () => 0))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(recorder.types('heal').filter((type) => type === 'shard.quarantined')).toHaveLength(1);
    await manager.close();
  });
});

describe('verifications that overlap', () => {
  it('the newest look counts, whichever ends last', async () => {
    let finish = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const wrap = (device: Device): Device =>
      wrapRegions(device, (region) =>
        overlay(region, {
          read: async (offset: number, length: number) => {
            await held;
            return await region.read(offset, length);
          },
        }),
      );
    const { manager, clock } = await openHost({ wrap });
    const shard = await manager.seal(bytesSource(pattern(100)));
    const slow = manager.verify(shard, { mode: 'readback' });
    await new Promise((resolve) => setTimeout(resolve, 5));
    clock.turn(1000);
    const { startedAt } = await manager.verify(shard);
    finish();
    await slow;
    const scrubber = manager.scrub({ intervalMs: 1e9, bytesPerSecond: GROUP_BYTES });
    expect(scrubber.report()[0]?.lastVerifiedAt).toBe(startedAt);
    await scrubber.stop();
    await manager.close();
  });
});

describe('a readback that is aborted before it begins', () => {
  it('reads nothing', async () => {
    let reads = 0;
    const { device } = await openHost();
    const region = await device.allocate(10);
    const counting = overlay<Region>(region, {
      read: () => {
        reads++;
        return Promise.reject(new Error('nobody waits for this'));
      },
    });
    const core = { engine: { start: () => ({ abort: () => undefined }) } };
    const aborted = readbackDigest(core as never, counting, { signal: AbortSignal.abort() });
    expect(await failure(aborted)).toMatchObject({ code: 'ABORTED' });
    expect(reads).toBe(0);
    await device.close();
  });
});
