import { describe, expect, it } from 'vitest';
import { concatBytes, equalBytes, utf8 } from '../../../src/base/bytes.js';

describe('bytes', () => {
  it('are UTF-8', () => {
    expect(utf8('a€')).toEqual(Uint8Array.of(0x61, 0xe2, 0x82, 0xac));
  });

  it('are joined in order, into memory of their own', () => {
    const first = Uint8Array.of(1, 2);
    const whole = concatBytes(first, new Uint8Array(), Uint8Array.of(3));
    first.fill(9);
    expect(whole).toEqual(Uint8Array.of(1, 2, 3));
    expect(concatBytes()).toEqual(new Uint8Array());
  });

  it('are compared whole', () => {
    const bytes = Uint8Array.of(1, 2, 3);
    expect(equalBytes(bytes, bytes.slice())).toBe(true);
    expect(equalBytes(bytes, bytes.slice(0, 2))).toBe(false);
    expect(equalBytes(bytes.slice(0, 2), bytes)).toBe(false);
    expect(equalBytes(bytes, Uint8Array.of(1, 2, 4))).toBe(false);
    expect(equalBytes(bytes, Uint8Array.of(4, 2, 3))).toBe(false);
  });
});
