import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import type { Signer } from '../../../../src/crypto/provider.js';
import type { RootOptions } from '../../../../src/device/index.js';
import { bytesSource } from '../../../../src/source/index.js';
import { testSigner } from '../../audit/signer.js';
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

const signer = testSigner(7);

const nonce = new Uint8Array(16).fill(0x2a);

async function opened(options: Parameters<typeof openHost>[0] = {}) {
  const set = await openHost({ ...options, options: { attestationKey: signer, ...options.options } });
  const shard = await set.manager.seal(bytesSource(pattern(10_000)), { shardId: 'a', modelRef: 'm' });
  return { ...set, shard };
}

const statement = (envelope: { payload: string }) =>
  JSON.parse(Buffer.from(envelope.payload, 'base64').toString());

/** A signer that does something first. */
const slow = (first: () => Promise<unknown> | undefined): Signer => ({
  publicKey: signer.publicKey,
  sign: async (bytes) => {
    await first();
    return await signer.sign(bytes);
  },
});

describe('attest', () => {
  it('signs the nonce that it was asked for, whatever becomes of the caller’s buffer', async () => {
    const { manager, shard } = await opened();
    const buffer = nonce.slice();
    const signing = manager.attest(shard, { nonce: buffer });
    buffer.fill(0);
    expect(statement(await signing).predicate.nonce).toBe(Buffer.from(nonce).toString('hex'));
    await manager.close();
  });

  it('[AU-001] tells each step whole, with the time it took', async () => {
    const clock = new TestClock();
    const { manager, shard, recorder } = await opened({
      options: {
        clock,
        auditHead: () => {
          throw new VramError('DEVICE_UNAVAILABLE', 'no head');
        },
      },
      wrap: (device) =>
        wrapRegions(device, (region) =>
          overlay(region, {
            root: async () => {
              clock.turn(4);
              return await region.root();
            },
          }),
        ),
    });
    recorder.events.length = 0;
    clock.wallMs = Date.UTC(2027, 0, 1);
    clock.monotonicMs = 1000;
    const told = {
      at: '2027-01-01T00:00:00.004Z',
      monotonicMs: 1004,
      workerId: 'worker-1',
      correlationId: 'c',
      traceparent: null,
      operation: 'attest',
      operationId: 'attest-3',
      device: { id: 'host', name: 'system memory', uuid: null, residency: 'host', emulated: false },
      shardId: 'a',
      modelRef: 'm',
      durationMs: 4,
    };
    const error = await failure(manager.attest(shard, { nonce, correlationId: 'c' }));
    expect(error).toMatchObject({ code: 'DEVICE_UNAVAILABLE', message: 'no head' });
    const { sealId } = shard;
    expect(recorder.events).toEqual([
      {
        ...told,
        at: '2027-01-01T00:00:00.000Z',
        monotonicMs: 1000,
        shardId: null,
        modelRef: null,
        durationMs: null,
        type: 'operation.started',
      },
      {
        ...told,
        type: 'operation.stage',
        stage: 'device-tree',
        startedMonotonicMs: 1000,
        byteLength: 10_000,
      },
      {
        ...told,
        type: 'seal.verified',
        sealId,
        mode: 'resident',
        byteLength: 10_000,
        fsverity: shard.fsverity,
      },
      { ...told, type: 'shard.attested', sealId, nonce: '2a'.repeat(16) },
      {
        ...told,
        type: 'operation.finished',
        ok: false,
        error: { code: 'DEVICE_UNAVAILABLE', kind: 'retriable', scope: null, message: 'no head' },
      },
    ]);
    await manager.close();
  });

  it('says when it began to verify and when it signed, and times the signing', async () => {
    const set = await opened({ options: { attestationKey: slow(async () => set.clock.turn(30)) } });
    const { manager, shard, recorder, clock } = set;
    clock.wallMs = Date.UTC(2027, 0, 1);
    const { predicate } = statement(
      await manager.attest(shard, { nonce, onProgress: () => clock.turn(500) }),
    );
    expect(predicate).toMatchObject({
      verifiedAt: '2027-01-01T00:00:00.000Z',
      attestedAt: '2027-01-01T00:00:00.500Z',
      auditLog: null,
      policy: 'any',
    });
    expect(recorder.of('operation.stage').at(-1)).toMatchObject({
      operation: 'attest',
      stage: 'sign',
      byteLength: null,
      durationMs: 30,
    });
    await manager.close();
  });

  it('reports progress as a verification in place does', async () => {
    const { manager, shard } = await opened();
    const seen: unknown[] = [];
    await manager.attest(shard, { nonce, onProgress: (progress) => seen.push(progress) });
    expect(seen).toEqual([{ phase: 'verify', bytes: 10_000, totalBytes: 10_000 }]);
    await manager.close();
  });

  it('refuses with words', async () => {
    const { manager, shard } = await openHost().then(async (set) => ({
      ...set,
      shard: await set.manager.seal(bytesSource(pattern(10))),
    }));
    expect(await failure(manager.attest(shard, { nonce }))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'attestationKey',
      message: '"attestationKey" must be given when the manager is opened: attestations are signed with it',
    });
    await manager.close();
    // What comes first is said first.
    expect(await failure(manager.attest(shard, { nonce }))).toMatchObject({ code: 'STOPPED' });
  });

  it.each([
    ['undefined', 'nonce'],
    ['null', 'options'],
    ['5', 'options'],
  ])('[IV-001] refuses options of %s as any operation does', async (given, argument) => {
    const { manager, shard, recorder } = await opened();
    const options = given === 'undefined' ? JSON.parse('{}').none : JSON.parse(given);
    expect(await failure(manager.attest(shard, options))).toMatchObject({ code: 'INVALID_INPUT', argument });
    expect(recorder.of('validation.failed')).toMatchObject([{ operation: 'attest', argument }]);
    await manager.close();
  });

  it('a shard in quarantine is refused with what to do, without another look', async () => {
    const { manager, shard, recorder } = await opened();
    await manager.drill(shard, { seed: 1 });
    await failure(manager.verify(shard));
    const looks = recorder.of('operation.stage').length;
    expect(await failure(manager.attest(shard, { nonce }))).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      message: 'shard "a" is in quarantine and cannot be attested; heal or release it',
    });
    expect(recorder.of('operation.stage')).toHaveLength(looks);
    await manager.close();
  });

  it('damage found by another while this one signs leaves nothing signed', async () => {
    const seen = regionsOf();
    const set = await opened({
      wrap: seen.wrap,
      options: {
        attestationKey: slow(async () => {
          await seen.flip(0, 0, 1);
          await failure(set.manager.verify(set.shard));
        }),
      },
    });
    expect(await failure(set.manager.attest(set.shard, { nonce }))).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      message: 'shard "a" is in quarantine and cannot be attested; heal or release it',
    });
    await set.manager.close();
  });

  it('goes on inside a lease for which a drill waits: the lease may have asked for it', async () => {
    const { manager, shard } = await opened();
    let drilled = false;
    let drill: Promise<void> = Promise.resolve();
    const signed = await manager.execute(shard, async () => {
      drill = manager.drill(shard, { seed: 1 }).then(() => {
        drilled = true;
      });
      await new Promise((resolve) => setTimeout(resolve, 5));
      const envelope = await manager.attest(shard, { nonce });
      return { envelope, drilled };
    });
    expect(signed.drilled).toBe(false);
    expect(statement(signed.envelope).predicate.nonce).toBe(Buffer.from(nonce).toString('hex'));
    await drill;
    await manager.close();
  });

  it('a release that is asked for while this one signs waits for it, and leaves nothing signed', async () => {
    let releasing: Promise<unknown> = Promise.resolve();
    const set = await opened({
      options: {
        attestationKey: slow(async () => {
          releasing = set.manager.release(set.shard);
          await new Promise((resolve) => setTimeout(resolve, 5));
          expect(set.device.stats().liveRegions).toBe(1);
        }),
      },
    });
    expect(await failure(set.manager.attest(set.shard, { nonce }))).toMatchObject({ code: 'NOT_FOUND' });
    expect(await releasing).toMatchObject({ released: true });
    await set.manager.close();
  });

  describe('is aborted by its signal', () => {
    it('before it looks, and nothing is told of a verification', async () => {
      const { manager, shard, recorder } = await opened();
      const signal = AbortSignal.abort('no');
      const error = await failure(manager.attest(shard, { nonce, signal }));
      expect(error).toMatchObject({ code: 'ABORTED', cause: 'no' });
      expect(recorder.types('attest')).toEqual(['operation.started', 'operation.finished']);
      await manager.close();
    });

    it('while it looks: the device is told of the signal', async () => {
      const signals: unknown[] = [];
      const { manager, shard } = await opened({
        wrap: (device) =>
          wrapRegions(device, (region) =>
            overlay(region, {
              root: async (options?: RootOptions) => {
                signals.push(options?.signal);
                return await region.root();
              },
            }),
          ),
      });
      signals.length = 0;
      const { signal } = new AbortController();
      await manager.attest(shard, { nonce, signal });
      await manager.attest(shard, { nonce });
      expect(signals).toEqual([signal, undefined]);
      await manager.close();
    });

    it('while it signs', async () => {
      const aborting = new AbortController();
      const { manager, shard } = await opened({
        options: { attestationKey: slow(async () => aborting.abort('late')) },
      });
      const error = await failure(manager.attest(shard, { nonce, signal: aborting.signal }));
      expect(error).toMatchObject({ code: 'ABORTED', cause: 'late' });
      await manager.close();
    });
  });

  it('[AU-005] asks for the head only after its own record, and signs nothing without either', async () => {
    const recorder = new Recorder(true);
    const order: string[] = [];
    const { manager, shard } = await opened({
      recorder,
      options: {
        attestationKey: slow(async () => void order.push('signed')),
        auditHead: () => {
          order.push(`head after ${recorder.events.at(-1)?.type}`);
          return Promise.reject(new Error('the disk is full'));
        },
      },
    });
    expect(await failure(manager.attest(shard, { nonce }))).toMatchObject({
      code: 'AUDIT_FAILED',
      cause: { message: 'the disk is full' },
    });
    recorder.refuse = ({ type }) => type === 'shard.attested';
    expect(await failure(manager.attest(shard, { nonce }))).toMatchObject({ code: 'AUDIT_FAILED' });
    expect(order).toEqual(['head after shard.attested']);
    await manager.close();
  });
});
