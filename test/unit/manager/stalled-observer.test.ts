import { describe, expect, it } from 'vitest';
import type { AuditLogHead } from '../../../src/attest/index.js';
import { MemorySink } from '../../../src/audit/index.js';
import { auditObserver } from '../../../src/audit/write/observer.js';
import type { Signer } from '../../../src/crypto/index.js';
import type { DeviceLost } from '../../../src/device/types.js';
import type { EventType, Observer, OperationEvent } from '../../../src/events/events.js';
import type { CloseOptions } from '../../../src/manager/index.js';
import { nodeCrypto } from '../../../src/node/crypto.js';
import { bytesSource } from '../../../src/source/index.js';
import { testSigner } from '../audit/signer.js';
import { failure, type Opened, openHost, overlay, pattern, regionsOf, token } from './fixture.js';

const LIMIT_MS = 5000;
const bytes = pattern(10_000);

/** The test's own time limit is the way out. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** Does not answer for events of one type, until it is told to. */
class Silent implements Observer {
  readonly name = 'witness';
  readonly required: boolean;
  readonly seen: OperationEvent[] = [];
  about: EventType | 'flush' | 'close' | null = null;
  asked = 0;
  readonly told: string[] = [];
  /** Fails at once instead. */
  refuses = false;
  #answers: { resolve: () => void; reject: (error: Error) => void }[] = [];

  constructor(required = true) {
    this.required = required;
  }

  on(event: OperationEvent): void | Promise<void> {
    this.seen.push(event);
    return this.#answer(event.type);
  }

  async flush(): Promise<void> {
    this.told.push('flush');
    await this.#answer('flush');
  }

  async close(): Promise<void> {
    this.told.push('close');
    await this.#answer('close');
  }

  answer(error?: Error): void {
    for (const { resolve, reject } of this.#answers.splice(0))
      error === undefined ? resolve() : reject(error);
  }

  #answer(about: string): void | Promise<void> {
    if (about !== this.about) return undefined;
    if (this.refuses) throw new Error('the disk is full');
    this.asked++;
    return new Promise((resolve, reject) => {
      this.#answers.push({ resolve, reject });
    });
  }
}

async function watched(witness: Silent, wrap = regionsOf().wrap): Promise<Opened> {
  return await openHost({ wrap, options: { observers: [witness], observerMs: LIMIT_MS } });
}

describe('a required observer that does not answer', () => {
  it('fails a seal closed at the limit, is not waited for again until it answers, and then seals go on', async () => {
    const witness = new Silent();
    const { manager, clock } = await watched(witness);
    witness.about = 'vram.sealed';
    const sealing = failure(manager.seal(bytesSource(bytes), { shardId: 'a' }));
    await until(() => witness.asked > 0);
    clock.turn(LIMIT_MS - 1);
    expect(manager.status().abandonedCalls.total).toBe(0);
    clock.turn(1);
    expect(await sealing).toMatchObject({
      code: 'AUDIT_FAILED',
      message: 'the observer "witness" has not answered for 5000 ms',
    });
    expect(manager.status()).toMatchObject({ liveShards: 0, abandonedCalls: { total: 1, settled: 0 } });
    // Nothing turns the clock: what is told of now is not waited for.
    const before = witness.seen.length;
    expect(await failure(manager.seal(bytesSource(bytes), { shardId: 'a' }))).toMatchObject({
      code: 'AUDIT_FAILED',
    });
    expect(witness.seen.slice(before).map(({ type }) => type)).toContain('vram.sealed');
    witness.about = null;
    witness.answer();
    await until(() => manager.status().abandonedCalls.settled === 1);
    await manager.seal(bytesSource(bytes), { shardId: 'a' });
    await manager.close();
  });

  it('is waited for no longer than the caller waits', async () => {
    const witness = new Silent();
    const { manager } = await watched(witness);
    witness.about = 'vram.sealed';
    const aborting = new AbortController();
    const sealing = failure(manager.seal(bytesSource(bytes), { signal: aborting.signal }));
    await until(() => witness.asked > 0);
    aborting.abort('enough');
    expect(await sealing).toMatchObject({ code: 'ABORTED' });
    expect(manager.status().liveShards).toBe(0);
    witness.about = null;
    await manager.close();
  });

  it('never hides a verdict, at the limit or when the caller aborts: it is its cause', async () => {
    for (const abort of [false, true]) {
      const witness = new Silent();
      const seen = regionsOf();
      const { manager, clock } = await watched(witness, seen.wrap);
      const shard = await manager.seal(bytesSource(bytes));
      await seen.flip(0, 1, 1);
      witness.about = 'seal.verification_failed';
      const aborting = new AbortController();
      const verifying = failure(manager.verify(shard, { signal: aborting.signal }));
      await until(() => witness.asked > 0);
      // In force before anyone has answered.
      expect(manager.status().quarantined).toEqual([shard.shardId]);
      if (abort) aborting.abort();
      else clock.turn(LIMIT_MS);
      const unrecorded = { code: 'AUDIT_FAILED' };
      // Whoever has given up is not told the place either.
      const cause = abort ? { errors: [unrecorded, { code: 'ABORTED' }] } : unrecorded;
      expect(await verifying).toMatchObject({ code: 'INTEGRITY_VIOLATION', cause });
      witness.about = null;
      await manager.close();
    }
  });

  it('a clean verification whose caller aborts while it is put on record is ABORTED, and does not count', async () => {
    const witness = new Silent();
    const { manager } = await watched(witness);
    const shard = await manager.seal(bytesSource(bytes));
    witness.about = 'seal.verified';
    const aborting = new AbortController();
    const verifying = failure(manager.verify(shard, { signal: aborting.signal }));
    await until(() => witness.asked > 0);
    aborting.abort();
    expect(await verifying).toMatchObject({ code: 'ABORTED', report: { verified: true } });
    witness.about = null;
    await manager.close();
  });

  it('[AU-005] holds up no release: it is counted as unrecorded until the observer has taken it after all', async () => {
    const witness = new Silent();
    const { manager, clock } = await watched(witness);
    const [one, other] = [await manager.seal(bytesSource(bytes)), await manager.seal(bytesSource(bytes))];
    witness.about = 'vram.deallocated';
    const releasing = manager.release(one);
    await until(() => witness.asked > 0);
    clock.turn(LIMIT_MS);
    expect(await releasing).toMatchObject({ released: true, wiped: true, recorded: false });
    expect(await manager.release(other)).toMatchObject({ recorded: false });
    expect(manager.status().unrecordedReleases).toBe(2);
    witness.answer();
    await until(() => manager.status().unrecordedReleases === 0);
    // It was told once and took that: it is not told again.
    await manager.capacity();
    expect(witness.seen.filter(({ type }) => type === 'vram.deallocated')).toHaveLength(2);
    witness.about = null;
    await manager.close();
  });

  it('[AU-005] that refuses a release too late is told of it again', async () => {
    const witness = new Silent();
    const { manager, clock } = await watched(witness);
    const shard = await manager.seal(bytesSource(bytes));
    witness.about = 'vram.deallocated';
    const releasing = manager.release(shard);
    await until(() => witness.asked > 0);
    clock.turn(LIMIT_MS);
    await releasing;
    witness.about = null;
    witness.answer(new Error('the disk is full'));
    await until(() => manager.status().abandonedCalls.settled === 1);
    await manager.capacity();
    expect(manager.status().unrecordedReleases).toBe(0);
    expect(witness.seen.filter(({ type }) => type === 'vram.deallocated')).toHaveLength(2);
    await manager.close();
  });

  it.each(['flush', 'close'] as const)(
    '[MS-005] hangs in %s: the manager closes all the same, and says so',
    async (what) => {
      const witness = new Silent();
      const { manager, clock } = await watched(witness);
      witness.about = what;
      const closing = manager.close();
      await until(() => witness.asked > 0);
      clock.turn(LIMIT_MS);
      await closing;
      expect(manager.status().closeFailures).toBe(what === 'flush' ? 2 : 1);
    },
  );
});

describe('an observer that hangs while the manager closes', () => {
  it.each(['vram.deallocated', 'manager.closed', 'flush', 'close'] as const)(
    '[MS-005] in %s is waited for no longer than the signal of close() allows, and memory is given back',
    async (what) => {
      const witness = new Silent();
      const { manager } = await watched(witness);
      await manager.seal(bytesSource(bytes));
      witness.about = what;
      const aborting = new AbortController();
      const closing = manager.close({ signal: aborting.signal });
      await until(() => witness.asked > 0);
      aborting.abort();
      await closing;
      expect(manager.status()).toMatchObject({ liveShards: 0, state: 'closed' });
      expect(manager.status().closeFailures).toBe(what === 'close' ? 1 : 2);
      expect(witness.told).toEqual(['flush', 'close']);
    },
  );

  it.each(['flush', 'close'] as const)(
    '[MS-005] in %s is waited for no longer than a device that is not the manager’s own is there',
    async (what) => {
      const witness = new Silent();
      let lose = (): void => undefined;
      const lost = new Promise<DeviceLost>((resolve) => {
        lose = () => resolve({ reason: 'lost', message: 'it fell off the bus' });
      });
      const { manager } = await watched(witness, (device) => overlay(device, { lost }));
      witness.about = what;
      const closing = manager.close();
      await until(() => witness.asked > 0);
      lose();
      await closing;
      expect(manager.status().closeFailures).toBe(1);
    },
  );

  it('a second call of close() with a signal ends the wait of the first', async () => {
    const witness = new Silent();
    const { manager } = await watched(witness);
    witness.about = 'flush';
    const closing = manager.close();
    await until(() => witness.asked > 0);
    await manager.close({ signal: AbortSignal.abort() });
    await closing;
  });

  it('[IV-001] close() refuses options that it does not have before it ends anything', async () => {
    const { manager } = await openHost();
    for (const options of [{ force: true }, { signal: 'now' }, null]) {
      const call = manager.close(options as unknown as CloseOptions);
      expect(await failure(call)).toMatchObject({ code: 'INVALID_INPUT' });
    }
    expect(manager.status().state).toBe('open');
    await manager.close();
  });
});

describe('releases that a required observer is told of again', () => {
  it.each(['abort', 'loss'] as const)('hold up an operation no longer than until its %s', async (what) => {
    const witness = new Silent();
    let lose = (): void => undefined;
    const lost = new Promise<DeviceLost>((resolve) => {
      lose = () => resolve({ reason: 'lost', message: 'it fell off the bus' });
    });
    const { manager } = await watched(witness, (device) => overlay(device, { lost }));
    const shard = await manager.seal(bytesSource(bytes));
    witness.about = 'vram.deallocated';
    witness.refuses = true;
    await manager.release(shard);
    expect(manager.status().unrecordedReleases).toBe(1);
    // Told again with what comes next, it hangs.
    witness.refuses = false;
    const aborting = new AbortController();
    const sealing = failure(manager.seal(bytesSource(bytes), { signal: aborting.signal }));
    await until(() => witness.asked > 0);
    if (what === 'abort') aborting.abort();
    else lose();
    expect(await sealing).toMatchObject({ code: what === 'abort' ? 'ABORTED' : 'DEVICE_LOST' });
    witness.about = null;
    await manager.close();
  });
});

describe('an observer that is not required', () => {
  it('delays a seal by one limit, and fails nothing', async () => {
    const witness = new Silent(false);
    const { manager, clock } = await watched(witness);
    witness.about = 'vram.allocated';
    const sealing = manager.seal(bytesSource(bytes));
    await until(() => witness.asked > 0);
    clock.turn(LIMIT_MS);
    await sealing;
    await manager.seal(bytesSource(bytes));
    expect(witness.asked).toBe(2);
    await manager.close();
  });
});

describe('the audit log', () => {
  it('behind a disk that hangs fails seals closed at the limit, and loses nothing', async () => {
    const sink = new MemorySink();
    let sync: () => Promise<void> = async () => undefined;
    const log = await auditObserver({
      sink: {
        name: 'slow',
        append: (group) => sink.append(group),
        sync: () => sync(),
        checkpoint: async () => undefined,
        close: async () => undefined,
      },
      workerId: 'worker-1',
      token: token(),
      crypto: nodeCrypto,
    });
    const { manager, clock } = await openHost({ options: { observers: [log], observerMs: LIMIT_MS } });
    let letGo = (): void => undefined;
    let syncs = 0;
    sync = () => {
      syncs++;
      return new Promise((resolve) => {
        letGo = resolve;
      });
    };
    const sealing = failure(manager.seal(bytesSource(bytes)));
    await until(() => syncs > 0);
    clock.turn(LIMIT_MS);
    expect(await sealing).toMatchObject({ code: 'AUDIT_FAILED' });
    sync = async () => undefined;
    letGo();
    await until(() => manager.status().abandonedCalls.settled > 0);
    await manager.seal(bytesSource(bytes));
    await manager.close();
    const types = sink.records().map(({ type }) => type);
    expect(types.filter((type) => type === 'vram.sealed')).toHaveLength(2);
    expect(types.filter((type) => type === 'vram.deallocated')).toHaveLength(2);
  });
});

describe('attest', () => {
  const NONCE = new Uint8Array(16).fill(1);
  const never = new Promise<never>(() => undefined);

  async function attesting(parts: { sign?: Signer['sign']; auditHead?: () => Promise<AuditLogHead> }) {
    const key = testSigner(1);
    const { manager, clock } = await openHost({
      options: {
        attestationKey: { publicKey: key.publicKey, sign: parts.sign ?? key.sign },
        observerMs: LIMIT_MS,
        signerMs: 2 * LIMIT_MS,
        ...(parts.auditHead === undefined ? {} : { auditHead: parts.auditHead }),
      },
    });
    return { manager, clock, shard: await manager.seal(bytesSource(bytes)) };
  }

  it.each([
    ['attestationKey', 'sign', 2 * LIMIT_MS, '"attestationKey" has not signed for 10000 ms'],
    ['auditHead', 'auditHead', LIMIT_MS, '"auditHead" has not answered for 5000 ms'],
  ] as const)(
    'with %s that hangs is AUDIT_FAILED, ABORTED where the caller gives up',
    async (_name, part, limitMs, message) => {
      for (const abort of [false, true]) {
        let asked = 0;
        const { manager, clock, shard } = await attesting({
          [part]: () => {
            asked++;
            return never;
          },
        });
        const aborting = new AbortController();
        const attested = failure(manager.attest(shard, { nonce: NONCE, signal: aborting.signal }));
        await until(() => asked > 0);
        if (abort) aborting.abort();
        else clock.turn(limitMs);
        expect(await attested).toMatchObject(abort ? { code: 'ABORTED' } : { code: 'AUDIT_FAILED', message });
        // The shard's lock is free.
        expect(await manager.release(shard)).toMatchObject({ released: true });
        await manager.close();
      }
    },
  );

  it.each([
    ['attestationKey', 'sign', '"attestationKey" failed to sign'],
    ['auditHead', 'auditHead', '"auditHead" failed'],
  ] as const)('with %s that throws is AUDIT_FAILED', async (_name, part, message) => {
    const own = new Error('mine');
    const { manager, shard } = await attesting({ [part]: () => Promise.reject(own) });
    expect(await failure(manager.attest(shard, { nonce: NONCE }))).toMatchObject({
      code: 'AUDIT_FAILED',
      message,
      cause: own,
    });
    await manager.close();
  });
});
