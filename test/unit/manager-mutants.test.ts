import { describe, expect, it } from 'vitest';
import { Ledger } from '../../src/manager/state/ledger.js';
import { bytesSource } from '../../src/source/index.js';
import { failure, openHost, pattern, regionsOf } from './manager-fixture.js';

describe('[RP-004] too little memory says what would help', () => {
  it('for a shard', () => {
    const ledger = new Ledger(100, 40);
    expect(() => ledger.reserve(61, null)).toThrow(
      expect.objectContaining({
        code: 'INSUFFICIENT_VRAM',
        message:
          '61 bytes of device memory are needed, 60 are available; release other shards, raise budgetBytes or choose another device',
        neededBytes: 61,
        availableBytes: 60,
      }),
    );
    expect(ledger.reserve(60, null).bytes).toBe(60);
  });

  it('for the scratch of verification, which may take the whole budget and no more', () => {
    expect(() => new Ledger(39, 40)).toThrow(
      expect.objectContaining({
        code: 'INSUFFICIENT_VRAM',
        message:
          '40 bytes of device memory are needed, 39 are available for verification scratch; raise budgetBytes',
      }),
    );
    expect(new Ledger(40, 40).availableBytes(null)).toBe(0);
  });
});

describe('handles that are rejected', () => {
  it('[AU-001] are told of as what they are: no digest, no damage, not transient, in no mode but the resident one', async () => {
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

  it('that are no handles at all are a fault of the call, and no verification that failed', async () => {
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

describe('[MS-005] release', () => {
  it('a second time does nothing, and says so: nothing freed, nothing wiped, nothing left to record', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(5000)));
    expect(await manager.release(shard)).toMatchObject({ released: true, wiped: true, recorded: true });
    recorder.events.length = 0;
    expect(await manager.release(shard)).toEqual({
      released: false,
      freedBytes: 0,
      wiped: false,
      recorded: true,
    });
    expect(recorder.of('vram.deallocated')).toEqual([]);
    await manager.close();
  });

  it('waits for a lease; another one meanwhile counts as a second, and nothing new is begun', async () => {
    const { manager, device } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(5000)));
    let end: () => void = () => undefined;
    const running = new Promise<void>((resolve) => {
      end = resolve;
    });
    let entered: () => void = () => undefined;
    const inside = new Promise<void>((resolve) => {
      entered = resolve;
    });
    const execution = manager.execute(shard, async () => {
      entered();
      await running;
    });
    const rejected = failure(execution);
    await inside;
    let released = false;
    const first = manager.release(shard).finally(() => {
      released = true;
    });
    // The first one has looked the handle up and waits for the lease by now.
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await manager.release(shard)).toMatchObject({ released: false });
    expect(await failure(manager.verify(shard))).toMatchObject({ code: 'NOT_FOUND' });
    expect(released).toBe(false);
    expect(device.stats().liveRegions).toBe(1);
    end();
    expect(await first).toMatchObject({ released: true });
    expect(await rejected).toMatchObject({ code: 'NOT_FOUND' });
    await manager.close();
  });

  it('that cannot overwrite says what to do, with the device failure as its cause', async () => {
    let armed = false;
    const { manager } = await openHost({
      inject: {
        wipe: (memory) => {
          if (armed) throw new Error('injected');
          memory.fill(0);
        },
      },
    });
    armed = true;
    const shard = await manager.seal(bytesSource(pattern(5000)));
    const error = await failure(manager.release(shard));
    expect(error).toMatchObject({
      code: 'RELEASE_FAILED',
      message:
        'the memory was given back, but it is not certain that it was overwritten first; take the device out of use',
      cause: { code: 'RELEASE_FAILED' },
    });
    await manager.close();
  });
});

describe('names of live shards', () => {
  it('a name that is taken is refused with what to do', async () => {
    const { manager } = await openHost();
    await manager.seal(bytesSource(pattern(100)), { shardId: 'a' });
    expect(await failure(manager.seal(bytesSource(pattern(100)), { shardId: 'a' }))).toMatchObject({
      message: '"shardId" is the id of a live shard: release that one first or choose another id',
    });
    await manager.close();
  });

  it('a place in a set that is taken, or another size of the set, is refused with both figures', async () => {
    const { manager } = await openHost();
    const part = (shardIndex: number, totalShards: number): Promise<unknown> =>
      manager.seal(bytesSource(pattern(100)), { modelRef: 'm', shardIndex, totalShards });
    await part(0, 2);
    expect(await failure(part(0, 2))).toMatchObject({
      message: '"shardIndex" is 0, which is the index of a live shard of this model',
    });
    expect(await failure(part(1, 3))).toMatchObject({
      message: '"totalShards" is 3, but live shards of this model say 2',
    });
    await manager.close();
  });
});

describe('[ST-001] quarantine', () => {
  it('says why, to those who are told and to whoever holds a lease', async () => {
    const { wrap, flip } = regionsOf();
    const { manager, recorder } = await openHost({ wrap, options: { onVerificationFailure: 'stop' } });
    const shard = await manager.seal(bytesSource(pattern(5000)));
    const leased = failure(
      manager.execute(shard, async (lease) => {
        await flip(0, 10, 1);
        await failure(manager.verify(shard));
        throw lease.signal.reason;
      }),
    );
    expect(await leased).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      message: 'the shard was found damaged while the lease was running',
    });
    expect(recorder.of('shard.quarantined')).toMatchObject([
      { reason: 'damaged bytes in device memory', leasesRevoked: 1, sealId: shard.sealId },
    ]);
    expect(recorder.of('manager.stopped')).toMatchObject([{ reason: 'damaged bytes in device memory' }]);
    expect(manager.status().quarantined).toEqual([shard.shardId]);
    await manager.close();
  });
});

describe('a trace parent', () => {
  it('is W3C’s of version 00, to its last character', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(pattern(5)));
    const traceId = 'ab'.repeat(16);
    const good = `00-${traceId}-${'0'.repeat(15)}1-01`;
    await manager.verify(shard, { traceparent: good });
    expect(recorder.of('seal.verified').at(-1)?.traceparent).toBe(good);
    for (const traceparent of [
      `${good}0`,
      ` ${good}`,
      `01${good.slice(2)}`,
      `00-${traceId}-${'0'.repeat(16)}-01`,
      `00-${'0'.repeat(32)}-${'1'.repeat(16)}-01`,
    ]) {
      expect(await failure(manager.verify(shard, { traceparent })), traceparent).toMatchObject({
        code: 'INVALID_INPUT',
        message: '"traceparent" must be a W3C traceparent of version 00',
      });
    }
    await manager.close();
  });
});
