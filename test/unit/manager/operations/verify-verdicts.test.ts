import { describe, expect, it } from 'vitest';
import { bytesSource, type Source } from '../../../../src/source/index.js';
import {
  failure,
  openHost,
  overlay,
  pattern,
  Recorder,
  regionsOf,
  TestClock,
  wrapRegions,
} from '../fixture.js';

const GROUP = 524_288;

const bytes = pattern(10_000);

describe('verdicts', () => {
  const large = pattern(2 * GROUP + 5000);

  it.each([
    ['leaves', '3 blocks of 4096 bytes; heal it from its source or release it'],
    ['groups', '2 groups of 512 KiB; heal it from its source or release it'],
  ] as const)('say how much is damaged, as exactly as is known: %s kept', async (keep, what) => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({ wrap: seen.wrap, options: { keep } });
    const shard = await manager.seal(bytesSource(large), { shardId: 'a' });
    for (const block of [0, 1, 257]) await seen.flip(0, block * 4096, 1);
    recorder.events.length = 0;
    const error = await failure(manager.verify(shard));
    const message = `the resident bytes of shard "a" are damaged: ${what}`;
    expect(error).toMatchObject({ code: 'INTEGRITY_VIOLATION', message });
    expect(error.cause).toBeUndefined();
    const { report } = error as { report: { actual: string; damaged: unknown } };
    expect(report).toEqual({
      verified: false,
      shardId: 'a',
      sealId: shard.sealId,
      mode: 'resident',
      byteLength: large.length,
      expected: shard.fsverity,
      actual: expect.stringMatching(/^fsverity-sha256-12:/),
      sampled: false,
      sample: null,
      transient: false,
      damaged: expect.any(Array),
      damagedGroups: 2,
      exact: keep === 'leaves',
      startedAt: '2026-01-02T03:04:05.678Z',
      durationMs: 0,
    });
    expect(recorder.of('seal.verification_failed')).toMatchObject([
      {
        sealId: shard.sealId,
        mode: 'resident',
        error: {
          code: 'INTEGRITY_VIOLATION',
          kind: 'fatal',
          scope: 'shard',
          message: 'the resident bytes of shard "a" are damaged; heal it from its source or release it',
        },
        expectedDigest: shard.fsverity,
        actualDigest: report.actual,
        transient: false,
        damaged: null,
        damagedGroups: null,
        durationMs: 0,
      },
    ]);
    expect(recorder.of('damage.located')).toMatchObject([
      {
        sealId: shard.sealId,
        damaged: report.damaged,
        damagedGroups: 2,
        exact: keep === 'leaves',
        error: null,
      },
    ]);
    await manager.close();
  });

  it('say that the place could not be found where that is so', async () => {
    const seen = regionsOf((device) =>
      wrapRegions(device, (region) =>
        overlay(region, {
          nodes: async (level: number, first: number, count: number) => {
            await seen.flip(0, 0, 1);
            const nodes = await region.nodes(level, first, count);
            await seen.flip(0, 0, 1);
            return nodes;
          },
        }),
      ),
    );
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes), { shardId: 'a' });
    await seen.flip(0, 0, 1);
    const error = await failure(manager.verify(shard));
    expect(recorder.of('damage.located')).toMatchObject([{ damaged: [], damagedGroups: 0, error: null }]);
    expect(error.message).toBe('the resident bytes of shard "a" are damaged: the place could not be found');
    expect(error.report).toMatchObject({ damaged: [], damagedGroups: 0, exact: true });
    await manager.close();
  });

  it('[AU-001] that are clean are told and reported whole', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    await manager.verify(shard, { mode: 'readback' });
    expect(recorder.of('seal.verified')).toMatchObject([
      {
        sealId: shard.sealId,
        mode: 'readback',
        byteLength: 10_000,
        fsverity: shard.fsverity,
        durationMs: 0,
        shardId: shard.shardId,
      },
    ]);
    await manager.close();
  });

  it('[CI-010] [AU-005] of two differing inspections say so, also when it cannot be recorded', async () => {
    const message =
      'two inspections of the same bytes gave two digests: neither clean nor proof of damage; verify again';
    for (const heard of [true, false]) {
      const recorder = new Recorder(true);
      let lies = 0;
      const { manager } = await openHost({
        recorder,
        wrap: (device) =>
          wrapRegions(device, (region) =>
            overlay(region, {
              root: async () => {
                const { root, blocks } = await region.root();
                if (lies-- > 0) root[0] = (root[0] ?? 0) ^ 1;
                return { root, blocks };
              },
            }),
          ),
      });
      const shard = await manager.seal(bytesSource(bytes));
      lies = 1;
      if (!heard) recorder.refuse = ({ type }) => type === 'seal.verification_failed';
      const error = await failure(manager.verify(shard));
      expect(error).toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message,
        report: { transient: true, verified: false, sealId: shard.sealId },
      });
      expect(error.cause).toEqual(heard ? undefined : expect.objectContaining({ code: 'AUDIT_FAILED' }));
      await manager.close();
    }
  });

  it.each([
    ['seal.verification_failed', 'quarantine'],
    ['shard.quarantined', 'quarantine'],
    ['damage.located', 'quarantine'],
    ['manager.stopped', 'stop'],
  ] as const)(
    '[AU-005] of damage have what was not heard as their cause: %s',
    async (type, onVerificationFailure) => {
      const recorder = new Recorder(true);
      const seen = regionsOf();
      const { manager } = await openHost({ recorder, wrap: seen.wrap, options: { onVerificationFailure } });
      const shard = await manager.seal(bytesSource(bytes));
      await seen.flip(0, 0, 1);
      recorder.refuse = (event) => event.type === type;
      expect(await failure(manager.verify(shard))).toMatchObject({
        code: 'INTEGRITY_VIOLATION',
        report: { damagedGroups: 1 },
        cause: { code: 'AUDIT_FAILED' },
      });
      await manager.close();
    },
  );

  it('count from the latest beginning, whichever verification ends last', async () => {
    const clock = new TestClock();
    let inside: (() => Promise<unknown>) | undefined;
    const { manager, recorder } = await openHost({
      options: { clock },
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            root: async () => {
              const act = inside;
              inside = undefined;
              await act?.();
              return await region.root();
            },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(bytes));
    inside = async () => {
      clock.turn(100);
      await manager.verify(shard);
    };
    await manager.verify(shard);
    expect(recorder.of('seal.verified')).toHaveLength(2);
    await manager.execute(shard, () => 0, { maxAgeMs: 0 });
    expect(recorder.of('seal.verified')).toHaveLength(2);
    await manager.close();
  });

  it('of damage in a shard that is being released leave it in release', async () => {
    let releasing: Promise<unknown> | undefined;
    const seen = regionsOf((device) =>
      wrapRegions(device, (region) =>
        overlay(region, {
          root: async () => {
            releasing ??= armed?.();
            await new Promise((resolve) => setTimeout(resolve, 2));
            return await region.root();
          },
        }),
      ),
    );
    let armed: (() => Promise<unknown>) | undefined;
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 0, 1);
    armed = () => manager.release(shard);
    let quarantined: unknown;
    recorder.refuse = ({ type }) => {
      if (type === 'shard.quarantined') quarantined = manager.status().quarantined;
      return false;
    };
    expect(await failure(manager.verify(shard))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(quarantined).toEqual([]);
    expect(await releasing).toMatchObject({ released: true });
    await manager.close();
  });

  it('are not given of a shard that is released while a verification waits', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    await manager.drill(shard, { seed: 1 });
    let verifying: Promise<unknown> | undefined;
    let releasing: Promise<unknown> | undefined;
    // Healing holds the shard alone, so the verification waits behind it.
    const source: Source = {
      ...bytesSource(bytes),
      readRange: async (offset, length) => {
        verifying ??= failure(manager.verify(shard));
        await new Promise((resolve) => setTimeout(resolve, 3));
        releasing ??= manager.release(shard);
        return bytes.slice(offset, offset + length);
      },
    };
    expect(await failure(manager.heal(shard, source))).toMatchObject({ code: 'NOT_FOUND' });
    expect(await verifying).toMatchObject({ code: 'NOT_FOUND' });
    expect(await releasing).toMatchObject({ released: true });
    expect(recorder.of('seal.verification_failed').at(-1)).toMatchObject({
      operation: 'verify',
      sealId: shard.sealId,
      mode: 'resident',
      error: { code: 'NOT_FOUND' },
    });
    await manager.close();
  });
});
