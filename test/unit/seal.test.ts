import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../src/node/crypto.js';
import {
  checkToken,
  deriveSealKey,
  fromBase64Url,
  preAuthEncoding,
  toBase64Url,
} from '../../src/seal/index.js';

describe('base64url', () => {
  it('agrees with Buffer for every length to 100, both ways', () => {
    for (let length = 0; length <= 100; length++) {
      const bytes = Uint8Array.from({ length }, (_, index) => (index * 167 + length * 31) & 255);
      const text = Buffer.from(bytes).toString('base64url');
      expect(toBase64Url(bytes)).toBe(text);
      expect(fromBase64Url(text)).toEqual(bytes);
    }
  });

  it.each(['A', 'AB=', 'AA==', 'A+', 'A/', 'A A', 'AB', 'AAB', '\u0100A', 'AAAAA'])('refuses %j', (text) => {
    expect(fromBase64Url(text)).toBeNull();
  });
});

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
