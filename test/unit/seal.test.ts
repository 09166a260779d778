import { describe, expect, it } from 'vitest';
import { canonicalBytes } from '../../src/base/canonical-json.js';
import { toBase64Url } from '../../src/base/index.js';
import { checkToken } from '../../src/base/token.js';
import { preAuthEncoding } from '../../src/crypto/dsse.js';
import { nodeCrypto } from '../../src/node/crypto.js';
import { deriveSealKey, verifySignature } from '../../src/seal/index.js';
import { SEAL_PAYLOAD_TYPES } from '../../src/seal/payload.js';

describe('DSSE pre-authentication encoding', () => {
  it('answers the example of the protocol document', () => {
    const encoded = preAuthEncoding('http://example.com/HelloWorld', new TextEncoder().encode('hello world'));
    expect(new TextDecoder().decode(encoded)).toBe('DSSEv1 29 http://example.com/HelloWorld 11 hello world');
  });

  it('counts bytes, not characters', () => {
    const encoded = preAuthEncoding('é', new TextEncoder().encode('€'));
    expect(new TextDecoder().decode(encoded)).toBe('DSSEv1 2 é 3 €');
  });
});

describe('token', () => {
  it('[CI-006] refuses what is too short or all zero, without a byte of it in the message', () => {
    for (const token of [new Uint8Array(15).fill(0x5a), new Uint8Array(64), new Uint8Array(0)]) {
      expect(() => checkToken('token', token)).toThrow(
        expect.objectContaining({ code: 'INVALID_INPUT', argument: 'token' }),
      );
    }
    expect(() => checkToken('token', new Uint8Array(15).fill(0x5a))).toThrow(/^(?!.*(5a|90)).*$/);
    const good = new Uint8Array(16);
    good[15] = 1;
    expect(checkToken('token', good)).toBe(good);
  });

  it('[CI-005] derives another key for another worker', async () => {
    const token = new Uint8Array(16).fill(1);
    const message = Uint8Array.of(1, 2, 3);
    const one = await (await deriveSealKey(nodeCrypto, token, 'a')).sign(message);
    const other = await (await deriveSealKey(nodeCrypto, token, 'b')).sign(message);
    expect(one).not.toEqual(other);
    expect(token).toEqual(new Uint8Array(16).fill(1));
  });
});

describe('a handle with a genuine signature', () => {
  const payload = {
    v: 1,
    sealId: '00'.repeat(16),
    sealed: true,
    shardId: 'a',
    workerId: 'w',
    device: { backend: 'host', index: 0, name: 'n', uuid: null },
    byteLength: 1,
    sha256: null,
    fsverity: `fsverity-sha256-12:${'0'.repeat(64)}`,
    sealedAt: '2026-01-02T03:04:05.678Z',
    residency: 'host',
    immutability: 'api-only',
    emulated: false,
    modelRef: null,
    shardIndex: null,
    totalShards: null,
  };
  const { modelRef: _, ...incomplete } = payload;

  it.each<[string, object, boolean]>([
    ['as it should be', payload, true],
    ['over an unknown key', { ...payload, extra: 1 }, false],
    ['over an unknown key of the device', { ...payload, device: { ...payload.device, extra: 1 } }, false],
    ['over too few keys', incomplete, false],
    ['over another version', { ...payload, v: 2 }, false],
    ['over a device that is text', { ...payload, device: 'host' }, false],
    ['over a seal id that is a number', { ...payload, sealId: 5 }, false],
  ])('%s', async (_name, signed, accepted) => {
    const key = await deriveSealKey(nodeCrypto, new Uint8Array(16).fill(1), 'w');
    const body = canonicalBytes(signed);
    const signature = toBase64Url(await key.sign(preAuthEncoding(SEAL_PAYLOAD_TYPES[1], body)));
    const reading = verifySignature(key, { ...signed, signature });
    if (accepted) expect(await reading).toBe(payload.sealId);
    else await expect(reading).rejects.toMatchObject({ code: 'SEAL_VERIFICATION_FAILED' });
  });

  it('under another payload type is worth nothing', async () => {
    const key = await deriveSealKey(nodeCrypto, new Uint8Array(16).fill(1), 'w');
    const signature = toBase64Url(
      await key.sign(preAuthEncoding('application/json', canonicalBytes(payload))),
    );
    await expect(verifySignature(key, { ...payload, signature })).rejects.toMatchObject({
      code: 'SEAL_VERIFICATION_FAILED',
    });
  });
});
