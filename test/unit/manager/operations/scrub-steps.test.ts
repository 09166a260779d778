import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import type { Region } from '../../../../src/device/index.js';
import type { ScrubOptions } from '../../../../src/manager/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, lieAboutRoot, openHost, overlay, pattern, regionsOf, wrapRegions } from '../fixture.js';
import { bytes } from './heal-fixture.js';

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

describe('scrubbing', () => {
  it.each([undefined, null, 5])('without options (%s) is refused', async (options) => {
    const { manager } = await openHost();
    expect(() => manager.scrub(options as unknown as ScrubOptions)).toThrow(
      expect.objectContaining({
        code: 'INVALID_INPUT',
        argument: 'options',
        message: '"options" must be an object',
      }),
    );
    await manager.close();
  });

  it('tells how long a pass took, and of nothing once it was stopped', async () => {
    const { manager, recorder, clock } = await openHost();
    await manager.seal(bytesSource(bytes), { shardId: 'a' });
    const scrubber = manager.scrub({ intervalMs: 10_000, bytesPerSecond: 2 ** 40 });
    await until(() => recorder.of('scrub.finished').length === 1);
    expect(recorder.of('scrub.finished')).toMatchObject([
      { shardId: 'a', byteLength: bytes.length, ok: true, durationMs: 0 },
    ]);
    expect(clock.monotonic()).toBe(1000);
    await scrubber.stop();
    await manager.close();
  });

  it('ends with the manager', async () => {
    const { manager } = await openHost();
    const scrubber = manager.scrub({ intervalMs: 10_000, bytesPerSecond: 2 ** 40 });
    await manager.close();
    await scrubber.ended;
    expect(scrubber.report()).toEqual([]);
  });

  it('leaves what is in quarantine alone from the first round on', async () => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes), { shardId: 'a' });
    await manager.seal(bytesSource(bytes), { shardId: 'b' });
    await seen.flip(0, 0, 1);
    await failure(manager.verify(shard));
    const scrubber = manager.scrub({ intervalMs: 10_000, bytesPerSecond: 2 ** 40 });
    await until(() => recorder.of('scrub.finished').length === 1);
    await scrubber.stop();
    expect(recorder.types('scrub').filter((type) => type === 'operation.started')).toHaveLength(1);
    expect(recorder.of('scrub.finished')).toMatchObject([{ shardId: 'b' }]);
    await manager.close();
  });

  it('tells of a look that differed once, and does not call the shard damaged', async () => {
    let flicker = 1;
    const { manager, recorder } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            nodes: async (...args: Parameters<Region['nodes']>) => {
              const nodes = await region.nodes(...args);
              if (flicker-- > 0) nodes[0] = (nodes[0] ?? 0) ^ 1;
              return nodes;
            },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(bytes), { shardId: 'a' });
    const scrubber = manager.scrub({ intervalMs: 10_000, bytesPerSecond: 2 ** 40 });
    await until(() => recorder.of('scrub.finished').length === 1);
    await scrubber.stop();
    expect(recorder.of('scrub.finished')).toMatchObject([{ ok: false }]);
    expect(recorder.of('seal.verification_failed')).toMatchObject([
      {
        error: {
          code: 'DEVICE_UNAVAILABLE',
          message: 'a group differed once and verified when it was hashed again',
        },
        sealId: shard.sealId,
        mode: 'sampled',
        expectedDigest: shard.fsverity,
        actualDigest: null,
        transient: true,
        damaged: [],
        damagedGroups: 0,
      },
    ]);
    expect(recorder.of('seal.verified')).toMatchObject([{ mode: 'resident' }]);
    expect(manager.status().quarantined).toEqual([]);
    await manager.close();
  });

  it('checks shards of one age in the order in which they were sealed', async () => {
    const { manager, recorder } = await openHost();
    for (const shardId of ['c', 'a', 'b']) await manager.seal(bytesSource(pattern(5)), { shardId });
    const scrubber = manager.scrub({ intervalMs: 10_000, bytesPerSecond: 2 ** 40 });
    await until(() => recorder.of('scrub.finished').length === 3);
    await scrubber.stop();
    expect(recorder.of('scrub.finished').map(({ shardId }) => shardId)).toEqual(['c', 'a', 'b']);
    await manager.close();
  });

  it('goes on to the next shard if the device fails on one, and does not heal on its word', async () => {
    let broken = true;
    let opened = 0;
    const { manager, recorder } = await openHost({
      wrap: (device) =>
        lieAboutRoot(
          wrapRegions(device, (region) =>
            overlay(region, {
              nodes: async (...args: Parameters<Region['nodes']>) => {
                if (broken) {
                  broken = false;
                  throw new VramError('DEVICE_UNAVAILABLE', 'injected');
                }
                return await region.nodes(...args);
              },
            }),
          ),
          0,
        ),
    });
    const reopen = async () => {
      opened += 1;
      return { ...bytesSource(bytes), close: async () => undefined };
    };
    await manager.seal(bytesSource(bytes), { shardId: 'a', reopen });
    await manager.seal(bytesSource(bytes), { shardId: 'b' });
    const scrubber = manager.scrub({ intervalMs: 10_000, bytesPerSecond: 2 ** 40, heal: true });
    await until(() => recorder.of('scrub.finished').length === 1);
    await scrubber.stop();
    expect(recorder.of('scrub.finished')).toMatchObject([{ shardId: 'b', ok: true }]);
    expect(opened).toBe(0);
    expect(manager.status().quarantined).toEqual([]);
    await manager.close();
  });

  it('finds damage and leaves it, if it may not heal or knows no source', async () => {
    for (const heal of [false, true]) {
      const seen = regionsOf();
      const { manager, recorder } = await openHost({ wrap: seen.wrap });
      let opened = 0;
      const reopen = async () => {
        opened += 1;
        return { ...bytesSource(bytes), close: async () => undefined };
      };
      await manager.seal(bytesSource(bytes), { shardId: 'a', ...(heal ? {} : { reopen }) });
      await seen.flip(0, 0, 1);
      const scrubber = manager.scrub({ intervalMs: 10_000, bytesPerSecond: 2 ** 40, heal });
      await until(() => recorder.of('scrub.finished').length === 1);
      await scrubber.stop();
      expect(recorder.of('scrub.finished')).toMatchObject([{ ok: false }]);
      expect(recorder.of('heal.failed')).toEqual([]);
      expect([opened, manager.status().quarantined]).toEqual([0, ['a']]);
      await manager.close();
    }
  });
});
