import { describe, expect, it } from 'vitest';
import { type LiveShard, ShardTable } from '../../../../src/manager/state/shard-table.js';
import { SealedShard } from '../../../../src/seal/sealed-shard.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, pattern, token } from '../fixture.js';

const bytes = pattern(3 * 524_288 + 5000);

describe('handles that are rejected', () => {
  it('[AU-001] are reported without digest or damage, not as transient, and in resident mode', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(5000)));
    for (const verify of [false, true]) {
      recorder.events.length = 0;
      const forged = { ...shard.toJSON(), shardId: 'forged' };
      const error = await failure(verify ? manager.verify(forged) : manager.release(forged));
      expect(error).toMatchObject({ code: 'SEAL_VERIFICATION_FAILED' });
      // Nobody failed to hear of it, so it has no cause of that kind.
      expect(error.cause).toBeUndefined();
      expect(recorder.of('seal.verification_failed')).toMatchObject([
        {
          operation: verify ? 'verify' : 'release',
          sealId: null,
          mode: 'resident',
          expectedDigest: null,
          actualDigest: null,
          transient: false,
          damaged: [],
          damagedGroups: 0,
          error: { code: 'SEAL_VERIFICATION_FAILED' },
        },
      ]);
    }
    await manager.close();
  });

  it('that are not handles at all are a fault of the call, and no verification that failed', async () => {
    const { manager, recorder } = await openHost();
    expect(await failure(manager.verify(JSON.parse('[]')))).toMatchObject({ code: 'INVALID_INPUT' });
    expect(recorder.of('seal.verification_failed')).toEqual([]);
    await manager.close();
  });

  it('say so where they are genuine, but of a shard that is gone', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(5000)));
    await manager.release(shard);
    expect(await failure(manager.verify(shard))).toMatchObject({
      code: 'NOT_FOUND',
      message:
        'the handle is genuine, but its shard is not live here: it was released, or sealed by another run or manager',
    });
    await manager.close();
  });
});

describe('released handles', () => {
  it('are remembered, 65536 of them, the oldest forgotten first', () => {
    const table = new ShardTable();
    const shard = (sealId: string): LiveShard =>
      ({ sealed: { sealId, shardId: sealId } }) as unknown as LiveShard;
    for (let index = 0; index < 65_536; index++) table.remove(shard(String(index)));
    expect(table.wasReleased('0')).toBe(true);
    table.remove(shard('65536'));
    expect(['0', '1', '65536'].map((sealId) => table.wasReleased(sealId))).toEqual([false, true, true]);
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

  it('NOT_SEALED without a signature; INVALID_INPUT for what is not a handle', async () => {
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

  it('a stale one is NOT_FOUND: released, of another manager with the token, of an earlier run', async () => {
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
