import { createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { bundleFromJSON } from '@sigstore/bundle';
import { toSignedEntity, Verifier } from '@sigstore/verify';
import { describe, expect, it } from 'vitest';
import {
  type AttestationEnvelope,
  type ResidencyPredicate,
  type ResidencyStatement,
  signEnvelope,
  statementBytes,
  verifyAttestation,
} from '../../../src/attest/index.js';
import { fromHex, toHex } from '../../../src/base/hex.js';
import type { CryptoProvider, Signer } from '../../../src/crypto/provider.js';
import { VramManager } from '../../../src/manager/index.js';
import { tensorSource } from '../../../src/models/index.js';
import { nodeCrypto } from '../../../src/node/crypto.js';
import { publicKeyPem } from '../../../src/node/keys/attestation-key.js';
import { bytesSource } from '../../../src/source/index.js';
import { webCrypto } from '../../../src/web/web-crypto.js';
import { presentBackends } from '../../support/backends.js';
import { rising, tensorModel } from '../../support/tensor-model.js';
import { testSigner } from '../audit/signer.js';
import { failure, openHost, pattern, platform, Recorder } from '../manager/fixture.js';
import { openLog, scratch, TOKEN, WORKER } from '../node/audit/support.js';

const signer = testSigner(7);
const { publicKey } = signer;
const NONCE = new Uint8Array(32).fill(0x11);

/**
 * The payload of an envelope by sigstore's verifier, which shares no code with this project; throws unless the signature is
 * by the key.
 */
function independently(text: string, key: Uint8Array = publicKey): string {
  const bundle = bundleFromJSON({
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: { publicKey: { hint: 'ours' }, tlogEntries: [] },
    dsseEnvelope: JSON.parse(text),
  });
  const trust = {
    certificateAuthorities: [],
    timestampAuthorities: [],
    tlogs: [],
    ctlogs: [],
    publicKey: () => ({ publicKey: createPublicKey(publicKeyPem(key)), validFor: () => true }),
  };
  new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 }).verify(
    toSignedEntity(bundle),
  );
  if (bundle.content.$case !== 'dsseEnvelope') throw new Error('no envelope');
  return Buffer.from(bundle.content.dsseEnvelope.payload).toString('utf8');
}

const check = (text: string, over: Partial<Parameters<typeof verifyAttestation>[2]> = {}) =>
  verifyAttestation(nodeCrypto, text, { publicKey, nonce: NONCE, ...over });

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

interface Vectors {
  readonly seed: string;
  readonly publicKey: string;
  readonly publicKeyPem: string;
  readonly vectors: readonly {
    readonly name: string;
    readonly statement: ResidencyStatement;
    readonly payload: string;
    readonly envelope: AttestationEnvelope;
  }[];
}

const vectors: Vectors = JSON.parse(
  readFileSync(new URL('../../vectors/attestation.json', import.meta.url), 'utf8'),
);

describe.each([
  ['node:crypto', nodeCrypto],
  ['WebCrypto', webCrypto],
] satisfies [string, CryptoProvider][])('frozen vectors, over %s', (_name, crypto) => {
  it.each(vectors.vectors)('$name', async ({ statement, payload, envelope }) => {
    expect(toHex(publicKey)).toBe(vectors.publicKey);
    expect(publicKeyPem(publicKey)).toBe(vectors.publicKeyPem);
    expect(new TextDecoder().decode(statementBytes(statement))).toBe(payload);
    expect(await signEnvelope(crypto, signer, statementBytes(statement))).toEqual(envelope);
    const text = JSON.stringify(envelope);
    const nonce = fromHex(statement.predicate.nonce);
    const report = await verifyAttestation(crypto, text, { publicKey, nonce });
    expect(report.statement).toEqual(statement);
    expect(independently(text)).toBe(payload);
  });
});

describe('verifyAttestation', () => {
  const [whole] = vectors.vectors;
  if (whole === undefined) throw new Error('no vector');
  const { statement, envelope } = whole;
  const nonce = fromHex(statement.predicate.nonce);
  const at = Date.parse(statement.predicate.verifiedAt);
  const good = (over: Partial<Parameters<typeof verifyAttestation>[2]> = {}) =>
    verifyAttestation(nodeCrypto, JSON.stringify(envelope), { publicKey, nonce, ...over });
  const signed = async (bytes: Uint8Array) => JSON.stringify(await signEnvelope(nodeCrypto, signer, bytes));
  const refusedText = async (text: string, message: RegExp, over = {}) => {
    const error = await failure(verifyAttestation(nodeCrypto, text, { publicKey, nonce, ...over }));
    expect(error.code).toBe('SEAL_VERIFICATION_FAILED');
    expect(error.message).toMatch(message);
  };

  it('judges nonce, age and digest', async () => {
    expect(await good({ now: at + 10_000, maxAgeMs: 10_000 })).toMatchObject({ ageMs: 10_000, fresh: true });
    expect(await good({ now: at - 60_000, maxAgeMs: 0 })).toMatchObject({ ageMs: -60_000 });
    expect(await good({ nonce: null })).toMatchObject({ fresh: false });
    await good({ expected: `fsverity-sha256-12:${statement.predicate.fsverity.slice(-64).toUpperCase()}` });
    await good({ expected: `sha256:${statement.predicate.sha256}` });
    expect(await failure(good({ nonce: NONCE }))).toMatchObject({ code: 'SEAL_VERIFICATION_FAILED' });
    expect(await failure(good({ now: at + 10_001, maxAgeMs: 10_000 }))).toMatchObject({
      code: 'SEAL_VERIFICATION_FAILED',
      message: expect.stringContaining('10001 ms ago'),
    });
    expect(await failure(good({ now: at - 60_001, maxAgeMs: 10_000 }))).toMatchObject({
      message: expect.stringContaining('in the future'),
    });
    expect(await failure(good({ expected: `sha256:${'0'.repeat(64)}` }))).toMatchObject({
      code: 'SOURCE_MISMATCH',
    });
    expect(await failure(good({ expected: `fsverity-sha256-12:${'0'.repeat(64)}` }))).toMatchObject({
      code: 'SOURCE_MISMATCH',
    });
    const [, bare] = vectors.vectors;
    const noFlat = verifyAttestation(nodeCrypto, JSON.stringify(bare?.envelope), {
      publicKey,
      nonce: null,
      expected: `sha256:${'0'.repeat(64)}`,
    });
    expect((await failure(noFlat)).message).toContain('no SHA-256');
  });

  it.each<[string, object, string]>([
    ['a key of 31 bytes', { publicKey: new Uint8Array(31) }, 'publicKey'],
    ['a key as text', { publicKey: 'x' }, 'publicKey'],
    ['a nonce of 15 bytes', { nonce: new Uint8Array(15) }, 'nonce'],
    ['a forgotten nonce', { nonce: undefined }, 'nonce'],
    ['a negative age', { maxAgeMs: -1 }, 'maxAgeMs'],
    ['a huge age', { maxAgeMs: 2 ** 60 }, 'maxAgeMs'],
    ['NaN as age', { maxAgeMs: Number.NaN }, 'maxAgeMs'],
    ['a digest of another kind', { expected: 'md5:00' }, 'expected'],
  ])('refuses %s as option', async (_what, over, argument) => {
    expect(await failure(good(over))).toMatchObject({ code: 'INVALID_INPUT', argument });
  });

  it('is refused under any other key, also one that is not a point', async () => {
    expect(await failure(good({ publicKey: testSigner(8).publicKey }))).toMatchObject({
      code: 'SEAL_VERIFICATION_FAILED',
    });
    expect(await failure(good({ publicKey: new Uint8Array(32).fill(255) }))).toMatchObject({
      code: 'SEAL_VERIFICATION_FAILED',
    });
  });

  it('is refused with any one bit of payload or signature changed', async () => {
    const payload = Buffer.from(envelope.payload, 'base64');
    const sig = Buffer.from(envelope.signatures[0].sig, 'base64');
    for (let bit = 0; bit < payload.length * 8; bit += 97) {
      const changed = Uint8Array.from(payload);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await refusedText(
        JSON.stringify({ ...envelope, payload: Buffer.from(changed).toString('base64') }),
        /no signature/,
      );
    }
    for (let bit = 0; bit < 512; bit++) {
      const changed = Uint8Array.from(sig);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await refusedText(
        JSON.stringify({ ...envelope, signatures: [{ sig: Buffer.from(changed).toString('base64') }] }),
        /no signature/,
      );
    }
  });

  it('takes base64 in either alphabet, several signatures, and fields it does not know around the payload', async () => {
    const url = (text: string) => text.replaceAll('+', '-').replaceAll('/', '_');
    const [{ keyid, sig }] = envelope.signatures;
    const forms: unknown[] = [
      { ...envelope, payload: url(envelope.payload), signatures: [{ keyid, sig: url(sig) }] },
      { ...envelope, payload: url(envelope.payload).replace(/=+$/, '') },
      { ...envelope, signatures: [{ sig: 'AAAA' }, { sig, extra: 1 }], later: { x: [] } },
      { ...envelope, signatures: [{ keyid: 'of someone else', sig }] },
    ];
    for (const form of forms) {
      const text = JSON.stringify(form);
      expect((await verifyAttestation(nodeCrypto, text, { publicKey, nonce })).statement).toEqual(statement);
    }
  });

  it.each<[string, string, RegExp]>([
    ['nothing', '', /strict JSON/],
    ['no JSON', 'attestation', /strict JSON/],
    ['an array', '[]', /not a JSON object/],
    ['an object of nothing', '{}', /"payload"/],
    ['no type', JSON.stringify({ ...envelope, payloadType: undefined }), /"payloadType"/],
    ['another type', JSON.stringify({ ...envelope, payloadType: 'application/json' }), /"payloadType"/],
    ['no signatures', JSON.stringify({ ...envelope, signatures: [] }), /list of 1 to 16/],
    ['signatures as an object', JSON.stringify({ ...envelope, signatures: {} }), /list of 1 to 16/],
    [
      '17 signatures',
      JSON.stringify({ ...envelope, signatures: Array.from({ length: 17 }, () => envelope.signatures[0]) }),
      /list/,
    ],
    ['a signature of null', JSON.stringify({ ...envelope, signatures: [null] }), /not an object/],
    [
      'a signature that is not base64',
      JSON.stringify({ ...envelope, signatures: [{ sig: 'a*b' }] }),
      /"sig"/,
    ],
    [
      'a signature cut short',
      JSON.stringify({ ...envelope, signatures: [{ sig: envelope.signatures[0].sig.slice(0, 44) }] }),
      /no signature/,
    ],
    [
      'a key id of another type',
      JSON.stringify({ ...envelope, signatures: [{ ...envelope.signatures[0], keyid: 1 }] }),
      /"keyid"/,
    ],
    ['an empty payload', JSON.stringify({ ...envelope, payload: '' }), /"payload"/],
    [
      'a payload with white space',
      JSON.stringify({ ...envelope, payload: ` ${envelope.payload}` }),
      /"payload"/,
    ],
    ['a payload of two alphabets', JSON.stringify({ ...envelope, payload: '+_==' }), /"payload"/],
    ['a payload with stray bits', JSON.stringify({ ...envelope, payload: 'AB==' }), /"payload"/],
    ['a payload twice', JSON.stringify(envelope).replace('{', '{"payload":"AAAA",'), /strict JSON/],
    ['two megabytes', `{"payload":"${'A'.repeat(2 ** 21)}"}`, /too long/],
    ['deep nesting', '['.repeat(10_000), /strict JSON/],
  ])('refuses %s', (_what, text, message) => refusedText(text, message));

  const changed = (change: Record<string, unknown>, device: Record<string, unknown> = {}) => ({
    ...statement,
    predicate: {
      ...statement.predicate,
      device: { ...statement.predicate.device, ...device },
      ...change,
    },
  });
  const without = (key: keyof ResidencyPredicate) =>
    Object.fromEntries(Object.entries(statement.predicate).filter(([name]) => name !== key));

  // Signed with the right key: what an older, newer or foreign signer might make, which must not be half understood.
  it.each<[string, unknown]>([
    ['another statement version', { ...statement, _type: 'https://in-toto.io/Statement/v0.1' }],
    ['another predicate type', { ...statement, predicateType: 'https://slsa.dev/provenance/v1' }],
    ['an unknown key beside', { ...statement, more: 1 }],
    ['an unknown key in the predicate', changed({ more: 1 })],
    ['an unknown key in the device', changed({}, { more: 1 })],
    ['no subject', { ...statement, subject: [] }],
    ['two subjects', { ...statement, subject: [statement.subject[0], statement.subject[0]] }],
    ['a subject of another name', { ...statement, subject: [{ ...statement.subject[0], name: 'x' }] }],
    [
      'a subject of another digest',
      {
        ...statement,
        subject: [{ name: 'shard-1', digest: { ...statement.subject[0].digest, sha256: '0'.repeat(64) } }],
      },
    ],
    [
      'a subject with a further digest',
      { ...statement, subject: [{ name: 'shard-1', digest: { ...statement.subject[0].digest, md5: '00' } }] },
    ],
    [
      'a subject with fewer digests',
      { ...statement, subject: [{ name: 'shard-1', digest: { sha256: statement.predicate.sha256 } }] },
    ],
    ['version 2', changed({ v: 2 })],
    ['a short nonce', changed({ nonce: '00' })],
    ['a nonce in capitals', changed({ nonce: 'AB'.repeat(16) })],
    ['a time without milliseconds', changed({ verifiedAt: '2026-01-02T03:04:05Z' })],
    ['a day that is none', changed({ verifiedAt: '2026-02-30T03:04:05.000Z' })],
    ['a time zone', changed({ sealedAt: '2026-01-02T03:04:05.000+01:00' })],
    ['a length of zero', changed({ byteLength: 0 })],
    ['a length as text', changed({ byteLength: '4097' })],
    ['half a byte', changed({ byteLength: 1.5 })],
    ['a class unknown', changed({ residency: 'vram' })],
    ['an immutability unknown', changed({ immutability: 'none' })],
    ['an emulation as text', changed({ emulated: 'false' })],
    ['an emulation that the device denies', changed({ emulated: true })],
    ['a policy unknown', changed({ policy: 'none' })],
    ['a verification by readback', changed({ verification: 'readback' })],
    ['another disclaimer', changed({ signedBy: 'hardware' })],
    ['an index without a total', changed({ totalShards: null })],
    ['an index past the total', changed({ shardIndex: 2 })],
    ['an id with a slash', changed({ workerId: '../x' })],
    ['an audit log half told', changed({ auditLog: { origin: 'x' } })],
    ['a device of null', changed({ device: null })],
    ['an ECC unknown', changed({}, { ecc: 'yes' })],
    ...Object.keys(statement.predicate).map((key): [string, unknown] => [
      `no ${key}`,
      { ...statement, predicate: without(key as keyof ResidencyPredicate) },
    ]),
    ['null', null],
    ['a list', [statement]],
  ])('refuses a well signed statement with %s', async (_what, content) => {
    const text = await signed(new TextEncoder().encode(JSON.stringify(content)));
    expect(() => independently(text)).not.toThrow();
    await refusedText(text, /not genuine/, { nonce: null });
  });

  it('refuses a well signed payload that is not strict JSON or not UTF-8', async () => {
    await refusedText(await signed(Uint8Array.of(0x7b, 0xff, 0x7d)), /UTF-8/);
    const twice = JSON.stringify(statement).replace('{', '{"_type":"x",');
    await refusedText(await signed(new TextEncoder().encode(twice)), /strict JSON/);
    await refusedText(
      await signed(new TextEncoder().encode(`\ufeff${JSON.stringify(statement)}`)),
      /strict JSON/,
    );
  });
});

describe.each(await presentBackends())('attestation on $name', ({ target, missing }) => {
  it.skipIf(target === null)(
    `[VP-006] tells class, means of immutability, device and digests${missing === null ? '' : ` (SKIPPED: ${missing})`}`,
    async () => {
      if (target === null) return;
      const device = await target.open();
      const manager = await VramManager.open(
        { device, workerId: 'w', policy: 'any', attestationKey: signer },
        platform(),
      );
      const shard = await manager.seal(bytesSource(pattern(600_001)));
      const text = JSON.stringify(await manager.attest(shard, { nonce: NONCE }));
      const { statement } = await check(text, { maxAgeMs: 60_000, expected: shard.fsverity });
      const { info } = device;
      expect(statement.predicate).toMatchObject({
        residency: shard.residency,
        immutability: shard.immutability,
        emulated: info.execution === 'emulated',
        fsverity: shard.fsverity,
        sha256: shard.sha256,
        device: {
          backend: info.backend,
          name: info.name,
          uuid: info.uuid,
          driver: info.driver,
          ecc: info.ecc,
        },
      });
      expect(JSON.parse(independently(text))).toEqual(statement);
      await manager.close();
      await device.close();
    },
  );
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
