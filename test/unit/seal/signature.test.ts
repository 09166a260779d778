import { beforeAll, describe, expect, it } from 'vitest';
import type { Mac } from '../../../src/crypto/provider.js';
import { nodeCrypto } from '../../../src/node/crypto.js';
import { deriveSealKey, type SealedShard, signSeal, verifySignature } from '../../../src/seal/index.js';
import { SEAL_PAYLOAD_TYPES } from '../../../src/seal/payload.js';
import { NOT_GENUINE, PAYLOAD, refusal, SIGNATURE } from './fixture.js';

describe('[CI-001] signatures', () => {
  let key: Mac;
  let sealed: SealedShard;
  beforeAll(async () => {
    key = await deriveSealKey(nodeCrypto, new Uint8Array(32).fill(7), 'worker-1');
    sealed = await signSeal(key, PAYLOAD);
  });

  it('another signature of the right form says which content it does not fit', async () => {
    expect(await refusal({ ...sealed.toJSON(), signature: SIGNATURE }, key)).toMatchObject({
      code: 'SEAL_VERIFICATION_FAILED',
      message: `${NOT_GENUINE}its signature does not fit its content under the key of this worker`,
    });
  });

  it('what no handle could hold is not signed either, and named as the payload that it is', async () => {
    await expect(signSeal(key, { ...PAYLOAD, modelRef: '\ud800' })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message: '"payload.modelRef" must not contain lone surrogates',
    });
  });

  it('what is authenticated is the type and the canonical payload, nothing else', async () => {
    const seen: string[] = [];
    const spy: Mac = {
      sign: async () => new Uint8Array(32),
      verify: async (bytes) => {
        seen.push(new TextDecoder().decode(bytes));
        return true;
      },
    };
    await verifySignature(spy, sealed);
    const body = JSON.stringify(
      Object.fromEntries(Object.entries(PAYLOAD).sort(([a], [b]) => (a < b ? -1 : 1))),
    );
    expect(seen).toEqual([
      `DSSEv1 ${SEAL_PAYLOAD_TYPES[1].length} ${SEAL_PAYLOAD_TYPES[1]} ${body.length} ${body}`,
    ]);
  });
});
