import { describe, expect, it } from 'vitest';
import {
  checkBase64,
  fromBase64,
  fromBase64Url,
  fromEitherBase64,
  toBase64,
  toBase64Url,
} from '../../../src/base/base64.js';

const samples = Array.from({ length: 101 }, (_, length) =>
  Uint8Array.from({ length }, (_, index) => (index * 167 + length * 31) & 255),
);

describe('base64', () => {
  it('agrees with Buffer for every length to 100, both ways', () => {
    for (const bytes of samples) {
      const text = Buffer.from(bytes).toString('base64');
      expect(toBase64(bytes)).toBe(text);
      expect(fromBase64(text)).toEqual(bytes);
    }
  });

  const refused = [
    'A',
    'AA',
    'AAA',
    'AA=',
    'AB==',
    'AAB=',
    'A A=',
    '*AAA',
    'AAA*',
    '====',
    'A===',
    'AA-_',
    'AAAA\n',
  ];
  it.each(refused)('refuses %j', (text) => {
    expect(fromBase64(text)).toBeNull();
    expect(() => checkBase64('hashes', text)).toThrow('"hashes" must be base64');
  });

  it('is text', () => {
    expect(checkBase64('hashes', '/w==')).toEqual(Uint8Array.of(255));
    for (const value of [undefined, null, 7, ['AAAA']]) {
      expect(() => checkBase64('hashes', value)).toThrow(
        expect.objectContaining({ code: 'INVALID_INPUT', argument: 'hashes' }),
      );
    }
  });
});

describe('base64url', () => {
  it('agrees with Buffer for every length to 100, both ways', () => {
    for (const bytes of samples) {
      const text = Buffer.from(bytes).toString('base64url');
      expect(toBase64Url(bytes)).toBe(text);
      expect(fromBase64Url(text)).toEqual(bytes);
    }
  });

  it.each(['A', 'AB=', 'AA==', 'A+', 'A/', 'A A', 'AB', 'AAB', '\u0100A', 'AAAAA'])('refuses %j', (text) => {
    expect(fromBase64Url(text)).toBeNull();
  });
});

describe('base64 in either alphabet', () => {
  it('is read with and without padding', () => {
    for (const bytes of samples) {
      for (const text of [toBase64(bytes), toBase64Url(bytes)]) {
        const padded = text.padEnd(Math.ceil(text.length / 4) * 4, '=');
        expect(fromEitherBase64(padded)).toEqual(bytes);
        expect(fromEitherBase64(padded.replaceAll('=', ''))).toEqual(bytes);
      }
    }
  });

  it.each(['+_AA', '-/AA', 'A', 'AA=', 'AAA==', 'AB', 'AB==', 'AA ==', '====', 'AA===='])(
    'refuses %j',
    (text) => {
      expect(fromEitherBase64(text)).toBeNull();
    },
  );
});
