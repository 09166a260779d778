import { createHash, createHmac, hkdfSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../../src/base/canonical-json.js';
import { toBase64Url } from '../../../src/base/index.js';
import { preAuthEncoding } from '../../../src/crypto/dsse.js';
import { nodeCrypto } from '../../../src/node/crypto.js';
import {
  deriveSealKey,
  type SealPayload,
  signSeal,
  tokenFingerprint,
  verifySignature,
} from '../../../src/seal/index.js';
import { SEAL_PAYLOAD_TYPES } from '../../../src/seal/payload.js';
import { webCrypto } from '../../../src/web/web-crypto.js';

interface Case {
  readonly name: string;
  readonly tokenHex: string;
  readonly workerId: string;
  readonly fingerprint: string;
  readonly keyHex: string;
  readonly payload: SealPayload;
  readonly canonical: string;
  readonly preAuthEncodingHex: string;
  readonly signature: string;
}

interface Vectors {
  readonly payloadType: string;
  readonly cases: readonly Case[];
}

function read(name: string): Vectors {
  return JSON.parse(readFileSync(new URL(`../../vectors/${name}`, import.meta.url), 'utf8'));
}

const VERSIONS = { 1: read('seal.json'), 2: read('seal-v2.json') };
/** All of them, each with the media type of its version. */
const cases = [VERSIONS[1], VERSIONS[2]].flatMap(({ payloadType, cases }) =>
  cases.map((vector) => ({ ...vector, payloadType })),
);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe.each(cases)('frozen vector: $name', ({ payloadType, ...vector }) => {
  const token = new Uint8Array(Buffer.from(vector.tokenHex, 'hex'));

  it('follows from the formats as written, by node:crypto alone', () => {
    const key = Buffer.from(hkdfSync('sha256', token, 'vram-residency', `seal/v1/${vector.workerId}`, 32));
    expect(key.toString('hex')).toBe(vector.keyHex);
    const body = Buffer.from(vector.canonical, 'utf8');
    const encoded = Buffer.concat([
      Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${body.length} `),
      body,
    ]);
    expect(encoded.toString('hex')).toBe(vector.preAuthEncodingHex);
    expect(createHmac('sha256', key).update(encoded).digest('base64url')).toBe(vector.signature);
    const fingerprint = createHash('sha256').update('vram-residency/fp\0').update(token).digest('hex');
    expect(fingerprint.slice(0, 6)).toBe(vector.fingerprint);
    expect(JSON.parse(vector.canonical)).toEqual(vector.payload);
  });

  it.each([
    ['node', nodeCrypto],
    ['web', webCrypto],
  ] as const)(
    '[CI-001] [CI-002] [CI-005] is what this release signs and accepts (%s)',
    async (_name, crypto) => {
      expect(SEAL_PAYLOAD_TYPES[vector.payload.v]).toBe(payloadType);
      expect(canonicalJson(vector.payload)).toBe(vector.canonical);
      expect(hex(preAuthEncoding(payloadType, Buffer.from(vector.canonical)))).toBe(
        vector.preAuthEncodingHex,
      );
      expect(await tokenFingerprint(crypto, token)).toBe(vector.fingerprint);
      const key = await deriveSealKey(crypto, token, vector.workerId);
      const sealed = await signSeal(key, vector.payload);
      expect(sealed.signature).toBe(vector.signature);
      expect(sealed.toJSON()).toEqual({ ...vector.payload, signature: vector.signature });
      expect(
        await verifySignature(key, JSON.stringify({ ...vector.payload, signature: vector.signature })),
      ).toBe(vector.payload.sealId);
      for (const other of cases.filter(({ name }) => name !== vector.name)) {
        const foreign = { ...other.payload, signature: other.signature };
        await expect(verifySignature(key, foreign)).rejects.toMatchObject({
          code: 'SEAL_VERIFICATION_FAILED',
        });
      }
    },
  );
});

it('[CI-001] no version passes for the other, whatever its keys say', async () => {
  for (const vector of cases) {
    const key = await deriveSealKey(nodeCrypto, Buffer.from(vector.tokenHex, 'hex'), vector.workerId);
    const types = [SEAL_PAYLOAD_TYPES[1], SEAL_PAYLOAD_TYPES[2]];
    const body = Buffer.from(vector.canonical);
    const verdicts = types.map(async (type) => {
      const signature = toBase64Url(await key.sign(preAuthEncoding(type, body)));
      return await verifySignature(key, { ...vector.payload, signature }).catch((error) => error.code);
    });
    const refused = types.map((type) =>
      type === vector.payloadType ? vector.payload.sealId : 'SEAL_VERIFICATION_FAILED',
    );
    expect(await Promise.all(verdicts), vector.name).toEqual(refused);
  }
});

it('there are four vectors of version 1, one for every residency class that can be had', () => {
  expect(VERSIONS[1].cases.map(({ payload }) => payload.residency)).toEqual([
    'host',
    'device-local',
    'unproven',
    'host',
  ]);
});

it('there are four vectors of version 2: each layout, with and without digests of the files', () => {
  const said = VERSIONS[2].cases.map(({ payload }) =>
    payload.v === 2 ? [payload.layout, payload.source?.[0]?.fsverity != null, payload.shared] : [],
  );
  expect(said).toEqual([
    ['tensors', true, false],
    ['tensors', true, false],
    ['tensors', false, false],
    ['bytes', false, true],
  ]);
});
