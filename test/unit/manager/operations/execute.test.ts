import { describe, expect, it } from 'vitest';
import type { HostLease, Lease } from '../../../../src/manager/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, overlay, pattern, Recorder, regionsOf, wrapRegions } from '../fixture.js';

const bytes = pattern(524_288 + 5000);

/** The lease of the host backend, which the tests here run on. */
function host(lease: Lease): HostLease {
  if (lease.kind !== 'host') throw new Error('no host lease');
  return lease;
}

/** Resolves when told to. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** Counts in-place roots. */
function counting(): {
  readonly wrap: ReturnType<typeof regionsOf>['wrap'];
  readonly seen: ReturnType<typeof regionsOf>;
  readonly roots: () => number;
} {
  let roots = 0;
  const seen = regionsOf((device) =>
    wrapRegions(device, (region) =>
      overlay(region, {
        root: async (...args: Parameters<typeof region.root>) => {
          roots++;
          return await region.root(...args);
        },
      }),
    ),
  );
  return { seen, wrap: seen.wrap, roots: () => roots };
}

describe('execute', () => {
  it('[CI-007] verifies first, lends the bytes, returns the result', async () => {
    const { wrap, roots } = counting();
    const { manager, recorder } = await openHost({ wrap });
    const shard = await manager.seal(bytesSource(bytes));
    const before = roots();
    const sum = await manager.execute(shard, async (lease) => {
      expect(roots()).toBe(before + 1);
      expect(lease).toMatchObject({ kind: 'host', byteLength: bytes.length, shard });
      expect(Object.isFrozen(lease)).toBe(true);
      const part = await host(lease).read(524_280, 100);
      part.fill(0);
      return (await host(lease).read(524_280, 100)).reduce((total, byte) => total + byte, 0);
    });
    expect(sum).toBe(bytes.subarray(524_280, 524_380).reduce((total, byte) => total + byte, 0));
    expect(recorder.types('execute').filter((type) => type !== 'operation.stage')).toEqual([
      'operation.started',
      'seal.verified',
      'execution.finished',
      'operation.finished',
    ]);
    expect(recorder.of('execution.finished')).toMatchObject([
      { ok: true, verifiedMs: 0, sealId: shard.sealId },
    ]);
    await manager.close();
  });

  it('[CI-007] a verification from before counts only within maxAgeMs, from when it began', async () => {
    const { wrap, roots } = counting();
    const { manager, clock } = await openHost({ wrap });
    const shard = await manager.seal(bytesSource(bytes));
    const count = async (maxAgeMs?: number): Promise<number> => {
      const before = roots();
      await manager.execute(shard, () => 0, maxAgeMs === undefined ? {} : { maxAgeMs });
      return roots() - before;
    };
    // Sealing is not a verification, a sample neither.
    await manager.verify(shard, { mode: 'sampled', groups: 2 });
    expect(await count(1e9)).toBe(1);
    expect(await count()).toBe(1);
    expect(await count(0)).toBe(0);
    clock.turn(100);
    expect(await count(99)).toBe(1);
    clock.turn(100);
    expect(await count(100)).toBe(0);
    clock.wallMs -= 1e9;
    expect(await count(100)).toBe(0);
    await manager.verify(shard, { mode: 'readback' });
    clock.turn(50);
    expect(await count(50)).toBe(0);
    expect(await count(49)).toBe(1);
    await manager.close();
  });

  it('a verification counts from its beginning, not its end', async () => {
    let slow = false;
    const { manager, clock } = await openHost({
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            root: async () => {
              if (slow) clock.turn(1000);
              return await region.root();
            },
          }),
        ),
    });
    const shard = await manager.seal(bytesSource(bytes));
    slow = true;
    const report = await manager.verify(shard);
    expect(report.durationMs).toBe(1000);
    const before = clock.monotonic();
    await manager.execute(shard, () => 0, { maxAgeMs: 999 });
    expect(clock.monotonic() - before).toBe(1000);
    await manager.close();
  });

  it('damaged bytes are not lent', async () => {
    const { seen, wrap } = counting();
    const { manager, recorder } = await openHost({ wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await seen.flip(0, 3, 1);
    let ran = 0;
    const error = await failure(manager.execute(shard, () => ++ran));
    expect(error).toMatchObject({ code: 'INTEGRITY_VIOLATION', report: { damagedGroups: 1 } });
    // In quarantine it is refused without another look.
    const again = await failure(manager.execute(shard, () => ++ran, { maxAgeMs: 1e9 }));
    expect(again).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(again.message).toContain('quarantine');
    expect(ran).toBe(0);
    expect(recorder.of('execution.finished').map(({ ok }) => ok)).toEqual([false, false]);
    // Healed, it is lent again.
    await manager.heal(shard, bytesSource(bytes));
    expect(await manager.execute(shard, () => 'ran')).toBe('ran');
    await manager.close();
  });

  it('recheck verifies again before the result is returned', async () => {
    const { seen, wrap, roots } = counting();
    const { manager } = await openHost({ wrap });
    const shard = await manager.seal(bytesSource(bytes));
    const before = roots();
    expect(await manager.execute(shard, () => 7, { recheck: true })).toBe(7);
    expect(roots() - before).toBe(2);
    const damage = (): Promise<void> => seen.flip(0, 3, 1);
    const error = await failure(manager.execute(shard, damage, { recheck: true }));
    expect(error).toMatchObject({ code: 'INTEGRITY_VIOLATION', report: { verified: false } });
    await manager.close();
  });

  it('without recheck, damage done meanwhile is found by the next one', async () => {
    const { seen, wrap } = counting();
    const { manager } = await openHost({ wrap });
    const shard = await manager.seal(bytesSource(bytes));
    await manager.execute(shard, () => seen.flip(0, 3, 1));
    expect(await failure(manager.execute(shard, () => 0))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    await manager.close();
  });

  it('a lease used after its end throws, also by work left running', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const kept = await manager.execute(shard, (lease) => lease);
    expect(await failure(host(kept).read(0, 1))).toMatchObject({ code: 'NOT_FOUND' });
    const end = gate();
    let later: Promise<Uint8Array> | undefined;
    await manager.execute(shard, (lease) => {
      later = end.opened.then(() => host(lease).read(0, 1));
    });
    end.open();
    expect(await failure(Promise.resolve(later))).toMatchObject({ code: 'NOT_FOUND' });
    await manager.close();
  });

  it('[MS-007] lends one tensor, and nothing around it', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const tensor = { byteOffset: 1000, byteLength: 20 };
    await manager.execute(
      shard,
      async (lease) => {
        expect(lease.byteLength).toBe(20);
        expect(await host(lease).read(0, 20)).toEqual(bytes.slice(1000, 1020));
        for (const [offset, length] of [
          [0, 21],
          [20, 1],
          [-1, 1],
          [0.5, 1],
          [0, Number.NaN],
        ] as const) {
          expect(await failure(host(lease).read(offset, length))).toMatchObject({ code: 'INVALID_INPUT' });
        }
      },
      { tensor },
    );
    for (const bad of [
      { byteOffset: bytes.length, byteLength: 1 },
      { byteOffset: 0, byteLength: bytes.length + 1 },
      { byteOffset: -1, byteLength: 1 },
      { byteOffset: 0, byteLength: 0 },
      { byteOffset: 0.5, byteLength: 1 },
      { byteOffset: 2 ** 53, byteLength: 1 },
      JSON.parse('null'),
    ]) {
      expect(await failure(manager.execute(shard, () => 0, { tensor: bad }))).toMatchObject({
        code: 'INVALID_INPUT',
      });
    }
    await manager.close();
  });

  it('refuses bad options and what is not a function', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    for (const [options, argument] of [
      [{ maxAgeMs: -1 }, 'maxAgeMs'],
      [{ maxAgeMs: Number.NaN }, 'maxAgeMs'],
      [{ maxAgeMs: Number.POSITIVE_INFINITY }, 'maxAgeMs'],
      [JSON.parse('{"maxAgeMs":"5"}'), 'maxAgeMs'],
      [JSON.parse('{"recheck":1}'), 'recheck'],
    ]) {
      expect(await failure(manager.execute(shard, () => 0, options))).toMatchObject({
        code: 'INVALID_INPUT',
        argument,
      });
    }
    expect(await failure(manager.execute(shard, JSON.parse('5')))).toMatchObject({ argument: 'run' });
    await manager.close();
  });

  it('passes on what the callback throws, and ends the lease', async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const own = new RangeError('0x7f00dead is mine');
    let kept: Lease | undefined;
    const error = await failure(
      manager.execute(shard, (lease) => {
        kept = lease;
        throw own;
      }),
    );
    expect(error).toBe(own);
    if (kept === undefined) throw new Error('unreachable');
    expect(await failure(host(kept).read(0, 1))).toMatchObject({ code: 'NOT_FOUND' });
    expect(recorder.of('execution.finished')).toMatchObject([{ ok: false, error: { code: 'ABORTED' } }]);
    // What foreign code says is not repeated: nobody knows what is in it.
    expect(JSON.stringify(recorder.events)).not.toContain('dead');
    await manager.release(shard);
    await manager.close();
  });

  it('[AU-005] is refused, or its result is, if a required observer fails', async () => {
    const recorder = new Recorder(true);
    const { manager } = await openHost({ recorder });
    const shard = await manager.seal(bytesSource(bytes));
    for (const [type, runs] of [
      ['operation.started', 0],
      ['seal.verified', 0],
      ['execution.finished', 1],
    ] as const) {
      let ran = 0;
      recorder.refuse = (event) => event.operation === 'execute' && event.type === type;
      expect(await failure(manager.execute(shard, () => ++ran))).toMatchObject({ code: 'AUDIT_FAILED' });
      expect(ran).toBe(runs);
    }
    recorder.refuse = () => false;
    expect(await manager.execute(shard, () => 1)).toBe(1);
    await manager.close();
  });

  it('bad handles change nothing', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const run = (): number => 1;
    expect(await failure(manager.execute({ ...shard.toJSON(), byteLength: 5 }, run))).toMatchObject({
      code: 'SEAL_VERIFICATION_FAILED',
    });
    const { signature: _, ...unsigned } = shard.toJSON();
    expect(await failure(manager.execute(JSON.stringify(unsigned), run))).toMatchObject({
      code: 'NOT_SEALED',
    });
    await manager.release(shard);
    expect(await failure(manager.execute(shard, run))).toMatchObject({ code: 'NOT_FOUND' });
    expect(manager.status()).toMatchObject({ state: 'open', quarantined: [] });
    await manager.close();
  });
});

describe('states', () => {
  it('[ST-001] damage that another verification finds while this one passes keeps the bytes from being lent', async () => {
    let between: (() => Promise<unknown>) | undefined;
    const seen = regionsOf((device) =>
      wrapRegions(device, (region) =>
        overlay(region, {
          root: async () => {
            const result = await region.root();
            const act = between;
            between = undefined;
            await act?.();
            return result;
          },
        }),
      ),
    );
    const { manager } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal(bytesSource(bytes));
    between = async () => {
      await seen.flip(0, 9, 1);
      expect(await failure(manager.verify(shard))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    };
    let ran = 0;
    expect(await failure(manager.execute(shard, () => ++ran))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(ran).toBe(0);
    await manager.close();
  });

  it('[ST-001] running leases of a damaged shard are revoked and their results rejected; others run on', async () => {
    const { seen, wrap } = counting();
    const { manager, recorder } = await openHost({ wrap });
    const damaged = await manager.seal(bytesSource(bytes), { shardId: 'a' });
    const sound = await manager.seal(bytesSource(bytes), { shardId: 'b' });
    const end = gate();
    const began = [gate(), gate()];
    let reason: unknown;
    const victim = manager.execute(damaged, async (lease) => {
      lease.signal.addEventListener('abort', () => {
        reason = lease.signal.reason;
      });
      began[0]?.open();
      await end.opened;
      expect(await failure(host(lease).read(0, 1))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
      return 'a result';
    });
    const other = manager.execute(sound, async () => {
      began[1]?.open();
      await end.opened;
      return 'another';
    });
    await Promise.all(began.map(({ opened }) => opened));
    await seen.flip(0, 9, 1);
    expect(await failure(manager.verify(damaged))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(reason).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(recorder.of('shard.quarantined')).toMatchObject([{ leasesRevoked: 1 }]);
    end.open();
    expect(await failure(victim)).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(await other).toBe('another');
    await manager.close();
  });

  it('[ST-002] with "stop" every running lease is revoked', async () => {
    const { seen, wrap } = counting();
    const { manager } = await openHost({ wrap, options: { onVerificationFailure: 'stop' } });
    const damaged = await manager.seal(bytesSource(bytes));
    const sound = await manager.seal(bytesSource(bytes));
    const end = gate();
    const began = gate();
    const running = manager.execute(sound, async () => {
      began.open();
      await end.opened;
      return 1;
    });
    await began.opened;
    await seen.flip(0, 9, 1);
    expect(await failure(manager.verify(damaged))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    end.open();
    expect(await failure(running)).toMatchObject({ code: 'STOPPED' });
    expect(await failure(manager.execute(sound, () => 0))).toMatchObject({ code: 'STOPPED' });
    await manager.close();
  });

  it('[ST-003] device loss revokes every lease with DEVICE_LOST', async () => {
    let lose: (reason: string) => void = () => undefined;
    const lost = new Promise<string>((resolve) => {
      lose = resolve;
    });
    const { manager } = await openHost({ inject: { lost } });
    const shard = await manager.seal(bytesSource(bytes));
    const running = manager.execute(
      shard,
      (lease) =>
        new Promise((_resolve, reject) => {
          lease.signal.addEventListener('abort', () => reject(new Error('gave up')));
          lose('gone');
        }),
    );
    expect(await failure(running)).toMatchObject({ code: 'DEVICE_LOST' });
    expect(await failure(manager.execute(shard, () => 0))).toMatchObject({ code: 'DEVICE_LOST' });
    await manager.close();
  });

  it('release tells leases to end and waits for them; what waited behind it is refused', async () => {
    const { manager, device } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const began = gate();
    const order: string[] = [];
    const running = manager.execute(shard, async (lease) => {
      began.open();
      await new Promise((resolve) => lease.signal.addEventListener('abort', resolve));
      order.push('lease ended');
    });
    await began.opened;
    const releasing = manager.release(shard).then(() => order.push('released'));
    const late = manager.execute(shard, () => order.push('late'));
    expect(await failure(late)).toMatchObject({ code: 'NOT_FOUND' });
    expect(await failure(running)).toMatchObject({ code: 'NOT_FOUND' });
    await releasing;
    expect(order).toEqual(['lease ended', 'released']);
    expect(device.stats().liveRegions).toBe(0);
    await manager.close();
  });

  it.each(['before the release', 'behind the release'])(
    'release refuses what waits for the shard at once, also inside the lease that it waits for: asked for %s',
    async (order) => {
      const { manager, device, recorder } = await openHost();
      const shard = await manager.seal(bytesSource(bytes));
      const began = gate();
      const asked = gate();
      let releasing: Promise<unknown> | undefined;
      let ran = 0;
      const outer = manager.execute(shard, async (lease) => {
        began.open();
        if (order === 'before the release') {
          // A healing waits for the lease, so this waits behind it.
          await asked.opened;
          const nested = failure(manager.execute(shard, () => ++ran));
          await new Promise((resolve) => setTimeout(resolve, 5));
          releasing = manager.release(shard);
          expect(await nested).toMatchObject({ code: 'NOT_FOUND' });
        } else {
          await new Promise((resolve) => lease.signal.addEventListener('abort', resolve));
          expect(await failure(manager.execute(shard, () => ++ran))).toMatchObject({ code: 'NOT_FOUND' });
        }
        expect(lease.signal.aborted).toBe(true);
      });
      const ended = failure(outer);
      await began.opened;
      const healing =
        order === 'before the release' ? failure(manager.heal(shard, bytesSource(bytes))) : null;
      if (healing === null) releasing = manager.release(shard);
      await new Promise((resolve) => setTimeout(resolve, 5));
      asked.open();
      expect(await ended).toMatchObject({ code: 'NOT_FOUND' });
      expect(await releasing).toMatchObject({ released: true });
      if (healing !== null) expect(await healing).toMatchObject({ code: 'NOT_FOUND' });
      expect(ran).toBe(0);
      expect(device.stats().liveRegions).toBe(0);
      if (healing !== null) {
        expect(recorder.of('execution.finished')).toMatchObject([
          { ok: false, error: { code: 'NOT_FOUND' } },
          { ok: false, error: { code: 'NOT_FOUND' } },
        ]);
      }
      await manager.close();
    },
  );

  it('[ST-001] quarantine refuses executions that wait, at once', async () => {
    const { seen, wrap } = counting();
    const { manager, recorder } = await openHost({ wrap });
    const shard = await manager.seal(bytesSource(bytes));
    const began = gate();
    let ran = 0;
    const nested = gate();
    const outer = manager.execute(shard, async () => {
      began.open();
      await nested.opened;
      const waiting = failure(manager.execute(shard, () => ++ran));
      await new Promise((resolve) => setTimeout(resolve, 5));
      await seen.flip(0, 9, 1);
      expect(await failure(manager.verify(shard))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
      expect(await waiting).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    });
    const ended = failure(outer);
    await began.opened;
    const healing = manager.heal(shard, bytesSource(bytes));
    await new Promise((resolve) => setTimeout(resolve, 5));
    nested.open();
    expect(await ended).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(await healing).toMatchObject({ healedBlocks: 1 });
    expect(ran).toBe(0);
    // What waited held no lease.
    expect(recorder.of('shard.quarantined')).toMatchObject([{ leasesRevoked: 1 }]);
    expect(await manager.execute(shard, () => 1)).toBe(1);
    await manager.close();
  });

  it('close tells leases to end and waits for them', async () => {
    const { manager, device } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const began = gate();
    const running = manager.execute(shard, async (lease) => {
      began.open();
      await new Promise((resolve) => lease.signal.addEventListener('abort', resolve));
    });
    await began.opened;
    const closing = manager.close();
    expect(await failure(running)).toMatchObject({ code: 'STOPPED' });
    await closing;
    expect(device.stats().liveRegions).toBe(0);
  });

  it('healing waits for leases, and a lease may verify its own shard while it waits', async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const began = gate();
    const order: string[] = [];
    const waiting = gate();
    const running = manager.execute(shard, async () => {
      began.open();
      await waiting.opened;
      await manager.verify(shard);
      order.push('verified inside');
    });
    await began.opened;
    const healing = manager.heal(shard, bytesSource(bytes)).then(() => order.push('healed'));
    const behind = manager.execute(shard, () => order.push('behind'));
    await new Promise((resolve) => setTimeout(resolve, 5));
    waiting.open();
    await Promise.all([running, healing, behind]);
    expect(order).toEqual(['verified inside', 'healed', 'behind']);
    await manager.close();
  });

  it("the caller's signal ends the wait for a lease, and a lease", async () => {
    const { manager } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    const aborting = new AbortController();
    const running = manager.execute(
      shard,
      async (lease) => {
        aborting.abort('enough');
        expect(lease.signal.aborted).toBe(true);
        return 1;
      },
      { signal: aborting.signal },
    );
    expect(await failure(running)).toMatchObject({ code: 'ABORTED' });
    const end = gate();
    const holding = manager.execute(shard, () => end.opened);
    const healing = manager.heal(shard, bytesSource(bytes));
    await new Promise((resolve) => setTimeout(resolve, 5));
    const late = new AbortController();
    const queued = manager.execute(shard, () => 0, { signal: late.signal });
    setTimeout(() => late.abort(), 5);
    expect(await failure(queued)).toMatchObject({ code: 'ABORTED' });
    end.open();
    await Promise.all([holding, healing]);
    await manager.close();
  });
});
