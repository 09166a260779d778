import { createHash, createHmac, hkdfSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../src/base/canonical-json.js';
import { preAuthEncoding } from '../../src/crypto/dsse.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import {
  deriveSealKey,
  type SealPayload,
  signSeal,
  tokenFingerprint,
  verifySignature,
} from '../../src/seal/index.js';
import { SEAL_PAYLOAD_TYPE } from '../../src/seal/payload.js';
import { webCrypto } from '../../src/web/web-crypto.js';

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

const { payloadType, cases }: { payloadType: string; cases: Case[] } = JSON.parse(
  readFileSync(new URL('../vectors/seal.json', import.meta.url), 'utf8'),
);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe.each(cases)('frozen vector: $name', (vector) => {
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
      expect(SEAL_PAYLOAD_TYPE).toBe(payloadType);
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
      for (const other of cases.filter((candidate) => candidate !== vector)) {
        const foreign = { ...other.payload, signature: other.signature };
        await expect(verifySignature(key, foreign)).rejects.toMatchObject({
          code: 'SEAL_VERIFICATION_FAILED',
        });
      }
    },
  );
});

it('there are four vectors, one for every residency class that can be had', () => {
  expect(cases.map(({ payload }) => payload.residency)).toEqual(['host', 'device-local', 'unproven', 'host']);
});
