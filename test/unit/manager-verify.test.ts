import { describe, expect, it } from 'vitest';
import { VramError } from '../../src/base/errors.js';
import type { VerificationReport } from '../../src/base/reports.js';
import { SealedShard } from '../../src/seal/sealed-shard.js';
import { bytesSource, type Source } from '../../src/source/index.js';
import {
  failOnce,
  failure,
  openHost,
  overlay,
  pattern,
  Recorder,
  regionsOf,
  token,
  wrapRegions,
} from './manager-fixture.js';

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

  it('[CI-010] a root over fewer blocks than there are is no verification', async () => {
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

  it('[AU-005] an audit failure never masks a verdict: it is its cause; a clean verdict is inside AUDIT_FAILED', async () => {
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

describe('handles', () => {
  it('[CI-002] are taken as object, plain object and JSON text', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    for (const handle of [shard, shard.toJSON(), JSON.stringify(shard), JSON.stringify(shard, null, 2)]) {
      expect(await manager.verify(handle)).toMatchObject({ verified: true });
    }
    // Order and white space mean nothing in JSON: what is authenticated is the canonical form.
    const reordered = Object.fromEntries(Object.entries(shard.toJSON()).reverse());
    expect(await manager.verify(JSON.stringify(reordered))).toMatchObject({ verified: true });
    await manager.close();
  });

  it('[CI-002] no field can change unnoticed, and nothing changes because of it', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes), { modelRef: 'm', shardIndex: 0, totalShards: 2 });
    const json = shard.toJSON();
    const forged: Record<string, unknown>[] = [
      { ...json, sealId: 'f'.repeat(32) },
      { ...json, sealed: false },
      { ...json, shardId: 'other' },
      { ...json, workerId: 'worker-2' },
      { ...json, device: { ...json.device, index: 1 } },
      { ...json, device: { ...json.device, backend: 'cuda' } },
      { ...json, device: { ...json.device, uuid: 'GPU-1' } },
      { ...json, byteLength: json.byteLength - 1 },
      { ...json, sha256: null },
      { ...json, fsverity: json.fsverity.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')) },
      { ...json, sealedAt: '2026-01-02T03:04:05.679Z' },
      { ...json, residency: 'device-local' },
      { ...json, immutability: 'mmu-readonly' },
      { ...json, emulated: true },
      { ...json, modelRef: 'n' },
      { ...json, shardIndex: 1 },
      { ...json, totalShards: 3 },
      { ...json, v: 2 },
      { ...json, extra: 1 },
      { ...json, device: { ...json.device, extra: 1 } },
      { ...json, byteLength: json.byteLength + 0.5 },
      { ...json, byteLength: Number.NaN },
      { ...json, byteLength: String(json.byteLength) },
      { ...json, device: null },
      { ...json, device: [] },
      { ...json, device: { ...json.device, name: { deep: 1 } } },
      { ...json, modelRef: undefined },
      { ...json, modelRef: ['m'] },
      { ...json, modelRef: '\ud800' },
      { ...json, signature: `${json.signature}=` },
      { ...json, signature: json.signature.slice(1) },
      { ...json, signature: (json.signature.startsWith('A') ? 'B' : 'A') + json.signature.slice(1) },
      { ...json, signature: 'A'.repeat(43) },
      { ...json, signature: ' '.repeat(43) },
      { ...json, signature: 5 },
      Object.fromEntries(Object.entries(json).filter(([key]) => key !== 'emulated')),
      Object.assign(Object.create({ inherited: 1 }), json),
      { ...json, [Symbol('x')]: 1 },
      Object.defineProperty({ ...json }, 'shardId', { get: () => json.shardId, enumerable: true }),
    ];
    for (const handle of forged) {
      for (const call of [manager.verify(handle as never), manager.release(handle as never)]) {
        expect([handle, await failure(call)]).toMatchObject([{}, { code: 'SEAL_VERIFICATION_FAILED' }]);
      }
    }
    expect(recorder.of('seal.verification_failed')).toHaveLength(2 * forged.length);
    expect(recorder.of('shard.quarantined')).toHaveLength(0);
    expect(manager.status()).toMatchObject({ state: 'open', liveShards: 1, quarantined: [] });
    await manager.verify(shard);
    await manager.close();
  });

  it('a signature with stray bits at its end is not another way to write it', async () => {
    const { manager } = await openHost();
    const json = (await manager.seal(bytesSource(bytes))).toJSON();
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const last = alphabet.indexOf(json.signature.slice(-1));
    const same = Buffer.from(json.signature, 'base64url');
    for (let bits = 1; bits < 4; bits++) {
      const signature = json.signature.slice(0, -1) + alphabet.charAt(last | bits);
      expect(Buffer.from(signature, 'base64url').equals(same)).toBe(true);
      expect(await failure(manager.verify({ ...json, signature }))).toMatchObject({
        code: 'SEAL_VERIFICATION_FAILED',
      });
    }
    await manager.close();
  });

  it('NOT_SEALED without a signature; INVALID_INPUT for what is no handle', async () => {
    const { manager } = await openHost();
    const { signature: _, ...unsigned } = (await manager.seal(bytesSource(bytes))).toJSON();
    for (const handle of [unsigned, { ...unsigned, signature: null }, { ...unsigned, signature: '' }, {}]) {
      expect(await failure(manager.verify(handle as never))).toMatchObject({ code: 'NOT_SEALED' });
    }
    for (const handle of [undefined, null, 5, true, [], [1]]) {
      expect(await failure(manager.verify(handle as never))).toMatchObject({
        code: 'INVALID_INPUT',
        argument: 'shard',
      });
    }
    await manager.close();
  });

  it('text that is truncated, doubled, or has a key twice is refused', async () => {
    const { manager } = await openHost();
    const text = JSON.stringify(await manager.seal(bytesSource(bytes)));
    const bad = [
      '',
      text.slice(0, -1),
      text + text,
      `[${text}]`,
      JSON.stringify(text),
      text.replace('{"v":1', '{"v":1,"v":1'),
      text.replace('"sealed":true', '"sealed":false,"sealed":true'),
      text.replace('"sealed":true', '"sealed":true,"seale\\u0064":true'),
      `\ufeff${text}`,
    ];
    for (const handle of bad) {
      expect(await failure(manager.verify(handle))).toMatchObject({ code: 'SEAL_VERIFICATION_FAILED' });
    }
    await manager.close();
  });

  it('a stale one is NOT_FOUND: released, of another manager with the same token, of an earlier run with the same id', async () => {
    const first = await openHost({ options: { token: token() } });
    const second = await openHost({ options: { token: token() } });
    const shard = await first.manager.seal(bytesSource(bytes), { shardId: 'a' });
    expect(await failure(second.manager.verify(shard))).toMatchObject({ code: 'NOT_FOUND' });
    expect(await failure(second.manager.release(shard))).toMatchObject({ code: 'NOT_FOUND' });
    await second.manager.seal(bytesSource(bytes), { shardId: 'a' });
    expect(await failure(second.manager.verify(shard))).toMatchObject({ code: 'NOT_FOUND' });
    await first.manager.release(shard);
    expect(await failure(first.manager.verify(shard))).toMatchObject({ code: 'NOT_FOUND' });
    expect(first.recorder.of('seal.verification_failed')).toMatchObject([
      { sealId: shard.sealId, error: { code: 'NOT_FOUND' } },
    ]);
    await Promise.all([first.manager.close(), second.manager.close()]);
  });

  it('[CI-001] [CI-005] a key belongs to one token and one worker', async () => {
    const own = await openHost({ options: { token: token() } });
    const shard = await own.manager.seal(bytesSource(bytes));
    const others = await Promise.all([
      openHost({ options: { token: token(), workerId: 'worker-2' } }),
      openHost({ options: { token: token().fill(0x5b) } }),
      openHost(),
    ]);
    for (const { manager } of others) {
      expect(await failure(manager.verify(shard))).toMatchObject({ code: 'SEAL_VERIFICATION_FAILED' });
      await manager.close();
    }
    await own.manager.close();
  });

  it('a SealedShard made by hand is not sealed by that', async () => {
    const { manager } = await openHost();
    const json = (await manager.seal(bytesSource(bytes))).toJSON();
    const made = new SealedShard({ ...json, shardId: 'mine' }, json.signature);
    expect(await failure(manager.verify(made))).toMatchObject({ code: 'SEAL_VERIFICATION_FAILED' });
    await manager.close();
  });
});

describe('release', () => {
  it('[MS-005] [RP-005] twice is safe, each release is told of once', async () => {
    const { manager, recorder, device } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const both = await Promise.all([manager.release(shard), manager.release(shard)]);
    expect(both.map(({ released }) => released).sort()).toEqual([false, true]);
    expect(await manager.release(shard)).toMatchObject({ released: false, freedBytes: 0 });
    expect(recorder.of('vram.deallocated')).toHaveLength(1);
    expect(device.stats().liveBytes).toBe(0);
    expect((await manager.capacity()).usedBytes).toBe(0);
    await manager.close();
  });

  it('[MS-008] overwrites memory with zeros first', async () => {
    const freed: Uint8Array[] = [];
    const { manager } = await openHost({ inject: { freed: (segment) => freed.push(segment) } });
    const before = freed.length;
    const shard = await manager.seal(bytesSource(bytes));
    await manager.release(shard);
    expect(freed.length).toBeGreaterThan(before);
    expect(freed.slice(before).every((segment) => segment.every((byte) => byte === 0))).toBe(true);
    await manager.close();
  });

  it('[MS-004] that cannot overwrite is RELEASE_FAILED, told of, and leaks no accounting', async () => {
    let broken = false;
    const { manager, recorder } = await openHost({
      inject: {
        wipe: (segment) => {
          if (broken) throw new Error('stuck');
          segment.fill(0);
        },
      },
    });
    const shard = await manager.seal(bytesSource(bytes), { shardId: 'a' });
    broken = true;
    expect(await failure(manager.release(shard))).toMatchObject({ code: 'RELEASE_FAILED', scope: 'device' });
    expect(recorder.of('vram.deallocated')).toMatchObject([
      { wiped: false, error: { code: 'RELEASE_FAILED' } },
    ]);
    expect((await manager.capacity()).usedBytes).toBe(0);
    expect(await manager.release(shard)).toMatchObject({ released: false });
    broken = false;
    await manager.seal(bytesSource(bytes), { shardId: 'a' });
    await manager.close();
  });

  it('[AU-005] is never held up by an observer; what could not be recorded is counted, and recorded on recovery', async () => {
    const recorder = new Recorder(true);
    const { manager } = await openHost({ recorder });
    const shards = [await manager.seal(bytesSource(bytes)), await manager.seal(bytesSource(bytes))];
    recorder.refuse = () => true;
    for (const shard of shards)
      expect(await manager.release(shard)).toMatchObject({ released: true, recorded: false });
    expect(manager.status().unrecordedReleases).toBe(2);
    expect(recorder.of('vram.deallocated')).toHaveLength(0);
    expect(await failure(manager.seal(bytesSource(bytes)))).toMatchObject({ code: 'AUDIT_FAILED' });
    recorder.refuse = () => false;
    await manager.capacity();
    expect(manager.status().unrecordedReleases).toBe(0);
    expect(recorder.of('vram.deallocated').map(({ shardId }) => shardId)).toEqual(
      shards.map(({ shardId }) => shardId),
    );
    await manager.close();
  });
});
