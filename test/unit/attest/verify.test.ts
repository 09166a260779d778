import { readFileSync } from 'node:fs';
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
import type { CryptoProvider } from '../../../src/crypto/provider.js';
import { nodeCrypto } from '../../../src/node/crypto.js';
import { publicKeyPem } from '../../../src/node/keys/attestation-key.js';
import { webCrypto } from '../../../src/web/web-crypto.js';
import { testSigner } from '../audit/signer.js';
import { failure } from '../manager/fixture.js';
import { independently, NONCE, publicKey, signer } from './fixture.js';

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
