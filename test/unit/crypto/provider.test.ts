import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { CryptoProvider } from '../../../src/crypto/provider.js';
import { nodeCrypto } from '../../../src/node/crypto.js';
import { webCrypto } from '../../../src/web/web-crypto.js';

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

const providers: [string, CryptoProvider][] = [
  ['node', nodeCrypto],
  ['web', webCrypto],
];

describe.each(providers)('crypto provider: %s', (_name, crypto) => {
  it('[CI-004] answers the SHA-256 examples of FIPS 180-4', async () => {
    expect(toHex(await crypto.sha256(utf8('abc')))).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
    expect(toHex(await crypto.sha256(new Uint8Array()))).toBe(
      'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    );
  });

  it('[CI-005] answers HKDF-SHA256 test cases 1 and 3 of RFC 5869', async () => {
    const ikm = hex('0b'.repeat(22));
    expect(
      toHex(await crypto.hkdf(ikm, hex('000102030405060708090a0b0c'), hex('f0f1f2f3f4f5f6f7f8f9'), 42)),
    ).toBe('3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865');
    expect(toHex(await crypto.hkdf(ikm, new Uint8Array(), new Uint8Array(), 42))).toBe(
      '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
    );
    expect(toHex(ikm)).toBe('0b'.repeat(22));
  });

  it('[CI-001] answers HMAC-SHA256 test cases 1, 2 and 6 of RFC 4231 and verifies', async () => {
    const cases: [Uint8Array, string, string][] = [
      [hex('0b'.repeat(20)), 'Hi There', 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7'],
      [
        utf8('Jefe'),
        'what do ya want for nothing?',
        '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
      ],
      [
        hex('aa'.repeat(131)),
        'Test Using Larger Than Block-Size Key - Hash Key First',
        '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
      ],
    ];
    for (const [key, text, expected] of cases) {
      const mac = await crypto.hmac(key);
      key.fill(0);
      expect(toHex(await mac.sign(utf8(text)))).toBe(expected);
      expect(await mac.verify(utf8(text), hex(expected))).toBe(true);
      expect(await mac.verify(utf8(`${text}.`), hex(expected))).toBe(false);
      expect(await mac.verify(utf8(text), hex(expected.slice(0, 62)))).toBe(false);
      expect(await mac.verify(utf8(text), new Uint8Array())).toBe(false);
      const changed = hex(expected);
      changed[31] = (changed[31] ?? 0) ^ 1;
      expect(await mac.verify(utf8(text), changed)).toBe(false);
    }
  });

  it('[CI-006] shows no key in JSON or inspection', async () => {
    const mac = await crypto.hmac(hex('5a'.repeat(32)));
    const { inspect } = await import('node:util');
    const shown = JSON.stringify(mac) + inspect(mac, { depth: 9, showHidden: true });
    expect(shown).not.toMatch(/5a5a|90, 90|ZZZZ|WlpaWlp/);
  });

  it('verifies Ed25519 as RFC 8032 section 7.1 test 1 and 3, and refuses what is not a signature', async () => {
    const key1 = hex('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
    const signature1 = hex(
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
    );
    expect(await crypto.verifyEd25519(key1, new Uint8Array(), signature1)).toBe(true);
    expect(await crypto.verifyEd25519(key1, Uint8Array.of(0), signature1)).toBe(false);
    expect(await crypto.verifyEd25519(key1, new Uint8Array(), signature1.subarray(1))).toBe(false);
    expect(await crypto.verifyEd25519(key1.subarray(1), new Uint8Array(), signature1)).toBe(false);
    expect(await crypto.verifyEd25519(hex('ff'.repeat(32)), new Uint8Array(), signature1)).toBe(false);
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const raw = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(12));
    const message = utf8('checkpoint');
    expect(await crypto.verifyEd25519(raw, message, sign(null, message, privateKey))).toBe(true);
  });

  it('gives random bytes of any length', () => {
    expect(crypto.randomBytes(0).length).toBe(0);
    const many = crypto.randomBytes(200_001);
    expect(many.length).toBe(200_001);
    // All 256 values appear, also behind the 65,536th byte: the chance of a miss is below 1e-200.
    expect(new Set(many.subarray(131_072)).size).toBe(256);
    expect(toHex(crypto.randomBytes(16))).not.toBe(toHex(crypto.randomBytes(16)));
    expect(() => crypto.randomBytes(-1)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }));
  });
});
