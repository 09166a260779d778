import { createPublicKey, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type AttestationEnvelope, signEnvelope, statementBytes } from '../../../../src/attest/index.js';
import { toHex } from '../../../../src/base/hex.js';
import type { Signer } from '../../../../src/crypto/provider.js';
import { tensorSource } from '../../../../src/models/index.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { publicKeyPem } from '../../../../src/node/keys/attestation-key.js';
import { bytesSource } from '../../../../src/source/index.js';
import { rising, tensorModel } from '../../../support/tensor-model.js';
import { check, independently, NONCE, publicKey, signer } from '../../attest/fixture.js';
import { testSigner } from '../../audit/signer.js';
import { openLog, scratch, TOKEN, WORKER } from '../../node/audit/support.js';
import { failure, openHost, pattern, Recorder } from '../fixture.js';

async function opened(options: Parameters<typeof openHost>[0] = {}) {
  const set = await openHost({ ...options, options: { attestationKey: signer, ...options.options } });
  const bytes = pattern(300_000);
  const shard = await set.manager.seal(bytesSource(bytes), { modelRef: 'model-1' });
  return { ...set, shard, bytes };
}

describe('attest', () => {
  it('verifies just now, in place, and says what it found', async () => {
    const { manager, shard, recorder, clock, device } = await opened();
    clock.turn(5000);
    recorder.events.length = 0;
    const before = device.stats().readbackBytes;
    const envelope = await manager.attest(shard, { nonce: NONCE });
    expect(device.stats().readbackBytes - before).toBeLessThanOrEqual(256);
    expect(recorder.types('attest')).toEqual([
      'operation.started',
      'operation.stage',
      'seal.verified',
      'shard.attested',
      'operation.stage',
      'operation.finished',
    ]);
    expect(recorder.of('shard.attested')).toMatchObject([{ sealId: shard.sealId, nonce: toHex(NONCE) }]);
    const text = JSON.stringify(envelope);
    const { statement, fresh } = await check(text, { expected: `sha256:${shard.sha256}` });
    expect(fresh).toBe(true);
    expect(statement).toEqual({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [
        {
          name: shard.shardId,
          digest: { sha256: shard.sha256, 'fsverity-sha256-12': shard.fsverity.slice(19) },
        },
      ],
      predicateType: 'urn:vram-residency:residency:v1',
      predicate: {
        v: 1,
        nonce: '11'.repeat(32),
        verifiedAt: '2026-01-02T03:04:10.678Z',
        attestedAt: '2026-01-02T03:04:10.678Z',
        verification: 'resident',
        sealId: shard.sealId,
        shardId: shard.shardId,
        workerId: 'worker-1',
        sealedAt: shard.sealedAt,
        byteLength: 300_000,
        sha256: shard.sha256,
        fsverity: shard.fsverity,
        residency: 'host',
        immutability: 'api-only',
        emulated: false,
        policy: 'any',
        device: {
          backend: 'host',
          index: 0,
          name: manager.device.name,
          uuid: null,
          driver: manager.device.driver,
          execution: 'software',
          ecc: 'unknown',
        },
        modelRef: 'model-1',
        shardIndex: null,
        totalShards: null,
        auditLog: null,
        signedBy: expect.stringContaining('software of the host that this statement describes'),
      },
    });
    await manager.close();
  });

  it('is taken by an independent reader of DSSE, and refused by it under another key', async () => {
    const { manager, shard } = await opened();
    const text = JSON.stringify(await manager.attest(shard, { nonce: NONCE }));
    const { statement } = await check(text);
    expect(JSON.parse(independently(text))).toEqual(statement);
    expect(() => independently(text, testSigner(8).publicKey)).toThrow(/signature/);
    // And by hand, from the specification: PAE and node:crypto alone.
    const { payload, payloadType, signatures }: AttestationEnvelope = JSON.parse(text);
    const body = Buffer.from(payload, 'base64');
    const encoded = Buffer.concat([Buffer.from(`DSSEv1 28 ${payloadType} ${body.length} `), body]);
    expect(
      verify(
        null,
        encoded,
        createPublicKey(publicKeyPem(publicKey)),
        Buffer.from(signatures[0].sig, 'base64'),
      ),
    ).toBe(true);
    await manager.close();
  });

  it('signs nothing about damaged bytes, nor about a shard in quarantine, nor when stopped', async () => {
    const { manager, shard, bytes } = await opened();
    const { flips } = await manager.drill(shard, { seed: 1 });
    expect(flips).toHaveLength(1);
    expect(await failure(manager.attest(shard, { nonce: NONCE }))).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
    });
    // The same bit once more: as sealed again, but nobody healed it.
    await manager.drill(shard, { seed: 1 });
    expect(await failure(manager.attest(shard, { nonce: NONCE }))).toMatchObject({
      code: 'INTEGRITY_VIOLATION',
      message: expect.stringContaining('quarantine'),
    });
    await manager.heal(shard, bytesSource(bytes));
    expect((await check(JSON.stringify(await manager.attest(shard, { nonce: NONCE })))).fresh).toBe(true);
    await manager.close();
    expect(await failure(manager.attest(shard, { nonce: NONCE }))).toMatchObject({ code: 'STOPPED' });
  });

  it('hands out nothing once the manager has stopped, also while it is signed', async () => {
    let sign: () => Promise<void> = async () => undefined;
    const slow: Signer = {
      publicKey,
      sign: async (bytes) => {
        await sign();
        return await signer.sign(bytes);
      },
    };
    const { manager, shard } = await opened({
      options: { attestationKey: slow, onVerificationFailure: 'stop' },
    });
    const other = await manager.seal(bytesSource(pattern(5000, 2)));
    sign = async () => {
      await manager.drill(other, { seed: 1 });
      expect((await failure(manager.verify(other))).code).toBe('INTEGRITY_VIOLATION');
    };
    expect(await failure(manager.attest(shard, { nonce: NONCE }))).toMatchObject({ code: 'STOPPED' });
    await manager.close();
  });

  it('signs nothing that is not on record', async () => {
    let signed = 0;
    const counting: Signer = {
      publicKey,
      sign: (bytes) => {
        signed += 1;
        return signer.sign(bytes);
      },
    };
    const recorder = new Recorder(true);
    const { manager, shard } = await opened({ recorder, options: { attestationKey: counting } });
    for (const type of ['operation.started', 'seal.verified', 'shard.attested']) {
      recorder.refuse = (event) => event.operation === 'attest' && event.type === type;
      expect(await failure(manager.attest(shard, { nonce: NONCE }))).toMatchObject({ code: 'AUDIT_FAILED' });
    }
    expect(signed).toBe(0);
    recorder.refuse = () => false;
    await manager.attest(shard, { nonce: NONCE });
    expect(signed).toBe(1);
    await manager.close();
  });

  it('carries the head of the audit log, in which its verification is', async () => {
    const place = await scratch();
    const log = await openLog(place);
    const { manager, shard } = await opened({
      options: {
        workerId: WORKER,
        token: Uint8Array.from(TOKEN),
        observers: [log.observer],
        auditHead: () => log.head(),
      },
    });
    const before = await log.head();
    const { statement } = await check(JSON.stringify(await manager.attest(shard, { nonce: NONCE })));
    const { auditLog } = statement.predicate;
    expect(auditLog?.origin).toBe(log.origin);
    expect(auditLog?.size).toBeGreaterThan(before.size);
    expect(auditLog?.checkpoint).toContain(`${log.origin}\n${auditLog?.size}\n`);
    const { size, root } = await log.head();
    expect({ size, root: toHex(root) }).toEqual({ size: auditLog?.size, root: auditLog?.root });
    await manager.close();
  });

  it('fails closed where the head cannot be had', async () => {
    const { manager, shard } = await opened({
      options: { auditHead: () => Promise.reject(new Error('the disk is full')) },
    });
    expect(await failure(manager.attest(shard, { nonce: NONCE }))).toMatchObject({
      code: 'AUDIT_FAILED',
      cause: { message: 'the disk is full' },
    });
    await manager.close();
  });

  it.each<[string, unknown]>([
    ['no nonce', undefined],
    ['15 bytes', new Uint8Array(15)],
    ['65 bytes', new Uint8Array(65)],
    ['text', '00'.repeat(16)],
    ['an array', Array.from({ length: 16 }, () => 0)],
  ])('refuses %s', async (_what, nonce) => {
    const { manager, shard } = await opened();
    const options = { nonce } as { nonce: Uint8Array };
    expect(await failure(manager.attest(shard, options))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'nonce',
    });
    await manager.close();
  });

  it('takes nonces of 16 and of 64 bytes, as they were when asked', async () => {
    const { manager, shard } = await opened();
    for (const length of [16, 64]) {
      const nonce = new Uint8Array(length).fill(3);
      const asked = manager.attest(shard, { nonce });
      nonce.fill(4);
      await check(JSON.stringify(await asked), { nonce: new Uint8Array(length).fill(3) });
    }
    await manager.close();
  });

  it('is refused without a key, with one that is none, for a forged and for a released shard', async () => {
    const { manager, shard } = await opened();
    const forged = { ...shard.toJSON(), modelRef: 'another' };
    expect(await failure(manager.attest(forged, { nonce: NONCE }))).toMatchObject({
      code: 'SEAL_VERIFICATION_FAILED',
    });
    await manager.release(shard);
    expect(await failure(manager.attest(shard, { nonce: NONCE }))).toMatchObject({ code: 'NOT_FOUND' });
    await manager.close();
    const keyless = await openHost();
    const other = await keyless.manager.seal(bytesSource(pattern(10)));
    expect(await failure(keyless.manager.attest(other, { nonce: NONCE }))).toMatchObject({
      argument: 'attestationKey',
    });
    await keyless.manager.close();
    const none = { publicKey: 'x' } as unknown as Signer;
    expect(await failure(openHost({ options: { attestationKey: none } }))).toMatchObject({
      argument: 'attestationKey',
    });
    const head = { auditHead: 'x' } as unknown as { auditHead: () => never };
    expect(await failure(openHost({ options: head }))).toMatchObject({ argument: 'auditHead' });
  });

  it('hands out nothing that its own key does not verify', async () => {
    const lying: Signer = { publicKey: testSigner(9).publicKey, sign: signer.sign };
    const { manager, shard } = await opened({ options: { attestationKey: lying } });
    expect(await failure(manager.attest(shard, { nonce: NONCE }))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'attestationKey',
    });
    await manager.close();
  });
});

describe('a statement about tensors', () => {
  const model = tensorModel([
    { name: 'x', bytes: rising(9000, 7, 1), tensors: [{ name: 'a', at: 8, length: 5000 }] },
  ]);

  async function attested() {
    const { manager } = await openHost({ options: { attestationKey: signer } });
    const shard = await manager.seal(tensorSource(model));
    const envelope = await manager.attest(shard, { nonce: NONCE });
    await manager.close();
    return { shard, text: JSON.stringify(envelope) };
  }

  /** The statement with some of its predicate changed, signed by the same key. */
  async function resigned(text: string, change: object): Promise<string> {
    const statement = JSON.parse(independently(text));
    Object.assign(statement.predicate, change);
    return JSON.stringify(await signEnvelope(nodeCrypto, signer, statementBytes(statement)));
  }

  it('is of version 2 and says which files they are of', async () => {
    const { shard, text } = await attested();
    const { statement } = await check(text, { expected: shard.fsverity });
    expect(statement.predicateType).toBe('urn:vram-residency:residency:v2');
    expect(statement.predicate).toMatchObject({
      v: 2,
      layout: 'tensors',
      tensors: shard.tensors,
      source: shard.source,
      shared: false,
      fsverity: shard.fsverity,
    });
    expect(JSON.parse(independently(text))).toEqual(statement);
  });

  it.each([
    ['v', { v: 1 }],
    ['layout', { layout: 'bytes' }],
    ['layout', { layout: 'rows' }],
    ['tensors', { tensors: null }],
    ['tensors', { tensors: 'ab' }],
    ['source', { source: null }],
    ['source', { source: [1] }],
    ['source', { source: [{ sha256: null, fsverity: null }] }],
    ['source', { source: [{ sha256: null, fsverity: null, byteLength: 1, name: 'x' }] }],
    ['source', { source: Array(4097).fill({ sha256: null, fsverity: null, byteLength: 1 }) }],
    ['shared', { shared: 'no' }],
    ['unknown key', { minBytes: 1 }],
  ])('is refused where its layout does not add up: %s %#', async (named, change) => {
    const { text } = await attested();
    const error = await failure(check(await resigned(text, change)));
    expect(error).toMatchObject({ code: 'SEAL_VERIFICATION_FAILED' });
    expect(error.message).toContain(named);
  });
});
