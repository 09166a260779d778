import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import type { VerificationReport } from '../../../../src/base/reports.js';
import { bytesSource, type Source } from '../../../../src/source/index.js';
import {
  failOnce,
  failure,
  openHost,
  overlay,
  pattern,
  Recorder,
  regionsOf,
  wrapRegions,
} from '../fixture.js';

const bytes = pattern(3 * 524_288 + 5000);

describe('verify', () => {
  it('[ST-001] finds one flipped bit anywhere, also in the padding, and puts that shard alone into quarantine', async () => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes), { shardId: 'a' });
    const other = await manager.seal(bytesSource(bytes), { shardId: 'b' });
    const last = bytes.length - 1;
    for (const at of [
      0,
      4095,
      4096,
      524_287,
      524_288,
      last,
      last + 1,
      Math.ceil(bytes.length / 4096) * 4096 - 1,
    ]) {
      await seen.flip(0, at, 0x10);
      for (const mode of ['resident', 'readback'] as const) {
        // What comes back to the host is the shard's own bytes: its padding can only be checked in place.
        if (mode === 'readback' && at > last) continue;
        const error = await failure(manager.verify(shard, { mode }));
        expect(error).toMatchObject({ code: 'INTEGRITY_VIOLATION', kind: 'fatal', scope: 'shard' });
        expect(error.report).toMatchObject({
          verified: false,
          mode,
          expected: shard.fsverity,
          transient: false,
        });
        const report = error.report as VerificationReport;
        expect(report.actual).not.toBe(report.expected);
        expect(report.damagedGroups).toBe(1);
        const group = Math.floor(at / 524_288);
        expect(report.damaged).toMatchObject([{ firstBlock: group * 128, byteOffset: group * 524_288 }]);
      }
      await seen.flip(0, at, 0x10);
    }
    expect(manager.status().quarantined).toEqual(['a']);
    expect(recorder.of('shard.quarantined')[0]).toMatchObject({ shardId: 'a', sealId: shard.sealId });
    await manager.verify(other);
    // The flips are undone, so the bytes verify; what was found damaged stays in quarantine until healed.
    await manager.verify(shard);
    expect(manager.status().quarantined).toEqual(['a']);
    await manager.close();
  });

  it('names the damaged blocks where leaves are kept, or a source is at hand', async () => {
    for (const keep of ['leaves', 'groups'] as const) {
      const seen = regionsOf();
      const { manager } = await openHost({ wrap: seen.wrap, options: { keep } });
      const shard = await manager.seal(bytesSource(bytes));
      for (const block of [0, 1, 130, 385]) await seen.flip(0, block * 4096 + 7, 1);
      const error = await failure(
        manager.verify(shard, keep === 'leaves' ? {} : { source: bytesSource(bytes) }),
      );
      expect(error.report).toMatchObject({
        exact: true,
        damagedGroups: 3,
        damaged: [
          { firstBlock: 0, blocks: 2, byteOffset: 0, byteLength: 8192 },
          { firstBlock: 130, blocks: 1, byteOffset: 532_480, byteLength: 4096 },
          { firstBlock: 385, blocks: 1, byteOffset: 1_576_960, byteLength: 904 },
        ],
      });
      await manager.close();
    }
  });

  it('tells whole groups where nothing says more, or the source at hand is not the one that was sealed', async () => {
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, bytes.length - 1, 1);
    for (const source of [undefined, bytesSource(pattern(bytes.length, 2)), bytesSource(bytes.slice(1))]) {
      const error = await failure(manager.verify(shard, source === undefined ? {} : { source }));
      expect(error.report).toMatchObject({
        exact: false,
        damagedGroups: 1,
        damaged: [{ firstBlock: 384, blocks: 2, byteOffset: 1_572_864, byteLength: 5000 }],
      });
    }
    await manager.close();
  });

  it('[CI-010] a mismatch that does not repeat is transient: never clean, no quarantine', async () => {
    const { manager, recorder } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) => {
          let call = 0;
          return overlay(region, {
            root: async () => {
              const { root, blocks } = await region.root();
              if (++call === 2) root[5] = (root[5] ?? 0) ^ 4;
              return { root, blocks };
            },
          });
        }),
    });
    const shard = await manager.seal(bytesSource(bytes));
    const error = await failure(manager.verify(shard));
    expect(error).toMatchObject({ code: 'DEVICE_UNAVAILABLE', report: { verified: false, transient: true } });
    expect(recorder.of('seal.verification_failed')).toMatchObject([{ transient: true }]);
    expect(recorder.of('seal.verified')).toHaveLength(0);
    expect(manager.status().quarantined).toEqual([]);
    await manager.verify(shard);
    await manager.close();
  });

  it('[CI-010] a root over fewer blocks than there are is not a verification', async () => {
    const { manager } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) => {
          let call = 0;
          return overlay(region, {
            root: async () => {
              const result = await region.root();
              return ++call === 1 ? result : { ...result, blocks: result.blocks - 1 };
            },
          });
        }),
    });
    const shard = await manager.seal(bytesSource(bytes));
    expect(await failure(manager.verify(shard))).toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    await manager.close();
  });

  it('a verdict stands when the place of the damage cannot be found', async () => {
    const seen = regionsOf((device) => failOnce(device, 'nodes'));
    const { manager } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 5, 1);
    const error = await failure(manager.verify(shard));
    expect(error).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      report: { damaged: [], exact: false },
      cause: { code: 'DEVICE_UNAVAILABLE' },
    });
    expect(manager.status().quarantined).toEqual([shard.shardId]);
    await manager.close();
  });

  it('[ST-002] with "stop" damaged bytes stop the manager: no seal, while verification and release work on', async () => {
    const seen = regionsOf();
    const { manager, recorder } = await openHost({
      wrap: seen.wrap,
      options: { onVerificationFailure: 'stop' },
    });
    const damaged = await manager.seal(bytesSource(bytes), { shardId: 'a' });
    const sound = await manager.seal(bytesSource(bytes), { shardId: 'b' });
    await seen.flip(0, 100, 0x80);
    expect(await failure(manager.verify(damaged))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(manager.status().state).toBe('stopped');
    expect(recorder.of('manager.stopped')).toHaveLength(1);
    expect(await failure(manager.seal(bytesSource(bytes)))).toMatchObject({
      code: 'STOPPED',
      kind: 'invalid',
    });
    expect(await manager.verify(sound)).toMatchObject({ verified: true });
    expect(await failure(manager.verify(damaged))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(recorder.of('manager.stopped')).toHaveLength(1);
    expect(await manager.release(damaged)).toMatchObject({ released: true });
    expect(await manager.release(sound)).toMatchObject({ released: true });
    await manager.close();
  });

  it('[AU-005] an audit failure is a verdict’s cause and never masks it; AUDIT_FAILED has a clean verdict', async () => {
    const recorder = new Recorder(true);
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap, recorder });
    const shard = await manager.seal(bytesSource(bytes));
    recorder.refuse = () => true;
    expect(await failure(manager.verify(shard))).toMatchObject({
      code: 'AUDIT_FAILED',
      report: { verified: true },
    });
    await seen.flip(0, 1, 1);
    expect(await failure(manager.verify(shard))).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      report: { verified: false },
      cause: { code: 'AUDIT_FAILED' },
    });
    expect(await failure(manager.verify({ ...shard.toJSON(), byteLength: 1 }))).toMatchObject({
      code: 'SEAL_VERIFICATION_FAILED',
      cause: { code: 'AUDIT_FAILED' },
    });
    await manager.close();
  });

  it('[AU-005] a verdict that lacks both its place and its record has both causes', async () => {
    const recorder = new Recorder(true);
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap, recorder });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 1, 1);
    recorder.refuse = (event) => event.type === 'seal.verification_failed';
    const gone = new VramError('SOURCE_MISMATCH', 'the file has gone');
    const source: Source = { ...bytesSource(bytes), readRange: () => Promise.reject(gone) };
    const error = await failure(manager.verify(shard, { source }));
    expect(error.cause).toBeInstanceOf(AggregateError);
    expect((error.cause as AggregateError).errors).toEqual([
      expect.objectContaining({ code: 'AUDIT_FAILED' }),
      gone,
    ]);
    await manager.close();
  });

  it('is aborted by its signal, also while it waits', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    expect(await failure(manager.verify(shard, { signal: AbortSignal.abort() }))).toMatchObject({
      code: 'ABORTED',
    });
    await manager.verify(shard);
    await manager.close();
  });

  it('refuses an unknown mode', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    expect(await failure(manager.verify(shard, JSON.parse('{"mode":"fast"}')))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'mode',
    });
    await manager.close();
  });

  it('reports how long it took by the monotonic clock, and when it began', async () => {
    const { manager, clock } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            root: async () => {
              clock.turn(40);
              return await region.root();
            },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(bytes));
    clock.wallMs = Date.UTC(2027, 0, 1);
    expect(await manager.verify(shard)).toMatchObject({
      durationMs: 40,
      startedAt: '2027-01-01T00:00:00.000Z',
    });
    await manager.close();
  });
});
