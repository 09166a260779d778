import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isVramError } from '../../src/base/errors.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { deriveSealKey, type SealPayload, signSeal, verifySignature } from '../../src/seal/index.js';
import { webCrypto } from '../../src/web/web-crypto.js';
import { propertyRuns } from '../support/property-runs.js';

const hex = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((value) => Buffer.from(value).toString('hex'));
const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,256}$/);
const label = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 60 })
  .filter((text) => !/\p{Surrogate}/u.test(text));
const nullable = <T>(inner: fc.Arbitrary<T>) => fc.option(inner, { nil: null });

const payload: fc.Arbitrary<SealPayload> = fc.record({
  v: fc.constant(1 as const),
  sealId: hex(16),
  sealed: fc.constant(true as const),
  shardId: id,
  workerId: id,
  device: fc.record({
    backend: fc.constantFrom('cuda', 'webgpu', 'host'),
    index: fc.nat(64),
    name: label,
    uuid: nullable(label),
  }),
  byteLength: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  sha256: nullable(hex(32)),
  fsverity: hex(32).map((digits) => `fsverity-sha256-12:${digits}`),
  sealedAt: fc.integer({ min: 0, max: 4e12 }).map((ms) => new Date(ms).toISOString()),
  residency: fc.constantFrom('device-local', 'unified', 'unproven', 'host'),
  immutability: fc.constantFrom('mmu-readonly', 'usage-locked', 'api-only'),
  emulated: fc.boolean(),
  modelRef: nullable(label),
  shardIndex: nullable(fc.nat(1023)),
  totalShards: nullable(fc.integer({ min: 1, max: 1024 })),
});

const TOKEN = new Uint8Array(32).fill(9);
const nodeKey = await deriveSealKey(nodeCrypto, TOKEN, 'worker-1');
const pageKey = await deriveSealKey(webCrypto, TOKEN, 'worker-1');

/** The code of the refusal; null if the handle was taken. */
async function refusal(handle: unknown): Promise<string | null> {
  try {
    await verifySignature(nodeKey, handle);
    return null;
  } catch (error) {
    if (!isVramError(error)) throw error;
    return error.code;
  }
}

describe('[CI-002] handles', () => {
  it('of any content go through JSON and are taken again, in Node and in a page alike', async () => {
    await fc.assert(
      fc.asyncProperty(payload, async (content) => {
        const sealed = await signSeal(nodeKey, content);
        const inPage = await signSeal(pageKey, content);
        expect(inPage.signature).toBe(sealed.signature);
        const text = JSON.stringify(sealed);
        expect(JSON.parse(text)).toEqual({ ...content, signature: sealed.signature });
        for (const handle of [sealed, sealed.toJSON(), text, JSON.stringify(JSON.parse(text), null, 1)]) {
          expect(await verifySignature(nodeKey, handle)).toBe(content.sealId);
          expect(await verifySignature(pageKey, handle)).toBe(content.sealId);
        }
      }),
      { numRuns: propertyRuns(150) },
    );
  });

  it('with any one field exchanged for that of another are refused', async () => {
    await fc.assert(
      fc.asyncProperty(payload, payload, fc.nat(), async (content, other, which) => {
        const sealed = (await signSeal(nodeKey, content)).toJSON();
        const differing = (Object.keys(content) as (keyof SealPayload)[]).filter(
          (field) => JSON.stringify(content[field]) !== JSON.stringify(other[field]),
        );
        const field = differing[which % differing.length];
        if (field === undefined) return;
        expect(await refusal({ ...sealed, [field]: other[field] })).toBe('SEAL_VERIFICATION_FAILED');
      }),
      { numRuns: propertyRuns(200) },
    );
  });

  it('with any one character of their text changed are refused, unless the text says the same', async () => {
    await fc.assert(
      fc.asyncProperty(payload, fc.nat(), fc.integer({ min: 32, max: 126 }), async (content, where, unit) => {
        const text = JSON.stringify(await signSeal(nodeKey, content));
        const at = where % text.length;
        const changed = text.slice(0, at) + String.fromCharCode(unit) + text.slice(at + 1);
        const code = await refusal(changed);
        if (code !== null) {
          expect(['SEAL_VERIFICATION_FAILED', 'NOT_SEALED']).toContain(code);
          return;
        }
        expect(JSON.parse(changed)).toEqual(JSON.parse(text));
      }),
      { numRuns: propertyRuns(300) },
    );
  });

  it('that are not handles at all are refused by code, never by a crash', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.anything(), fc.string(), fc.json()), async (anything) => {
        expect(['INVALID_INPUT', 'NOT_SEALED', 'SEAL_VERIFICATION_FAILED']).toContain(
          await refusal(anything),
        );
      }),
      { numRuns: propertyRuns(500) },
    );
  });
});
