import { describe, expect, it } from 'vitest';
import { checkToken } from '../../../src/base/token.js';
import { nodeCrypto } from '../../../src/node/crypto.js';
import { deriveSealKey, tokenFingerprint } from '../../../src/seal/index.js';

describe('[CI-006] tokens', () => {
  it('the derived key bytes are zeroed once the Mac has them, and so is what a fingerprint was made of', async () => {
    const handed: Uint8Array[] = [];
    const watched = {
      ...nodeCrypto,
      hmac: (bytes: Uint8Array) => {
        handed.push(bytes);
        return nodeCrypto.hmac(Uint8Array.from(bytes));
      },
    };
    await deriveSealKey(watched, new Uint8Array(32).fill(7), 'worker-1');
    expect(handed).toEqual([new Uint8Array(32)]);
    const hashed: Uint8Array[] = [];
    await tokenFingerprint(
      {
        ...nodeCrypto,
        sha256: (bytes) => {
          hashed.push(bytes);
          return nodeCrypto.sha256(Uint8Array.from(bytes));
        },
      },
      new Uint8Array(32).fill(7),
    );
    expect(hashed).toEqual([new Uint8Array('vram-residency/fp\0'.length + 32)]);
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
