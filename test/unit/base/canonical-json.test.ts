import { describe, expect, it } from 'vitest';
import { canonicalBytes, canonicalJson } from '../../../src/base/canonical-json.js';
import { isVramError } from '../../../src/base/errors.js';

describe('canonical JSON (RFC 8785)', () => {
  it('sorts keys by UTF-16 code units, not by code points (RFC 8785 section 3.2.3)', () => {
    const value = { '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\ud83d\ude00': 5, '\u0080': 6, '\u00f6': 7 };
    expect(canonicalJson(value)).toBe(
      '{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\ud83d\ude00":5,"\ufb33":3}',
    );
  });

  it('escapes as ECMAScript does and writes no white space', () => {
    expect(canonicalJson({ b: [true, null, 'a"\\\u0001/\u20ac'], a: -7 })).toBe(
      '{"a":-7,"b":[true,null,"a\\"\\\\\\u0001/\u20ac"]}',
    );
    expect(Array.from(canonicalBytes('\u00e9'))).toEqual([0x22, 0xc3, 0xa9, 0x22]);
  });

  it('keeps "__proto__" as an ordinary key', () => {
    expect(canonicalJson(JSON.parse('{"__proto__":1,"a":2}'))).toBe('{"__proto__":1,"a":2}');
  });

  const hole = [1, 2];
  delete hole[0];
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  it.each<[string, unknown]>([
    ['a fraction', 0.5],
    ['NaN', Number.NaN],
    ['infinity', Number.POSITIVE_INFINITY],
    ['2^53', 2 ** 53],
    ['-0', -0],
    ['undefined', undefined],
    ['undefined inside', { a: undefined }],
    ['a bigint', 1n],
    ['a function', () => 1],
    ['a symbol', Symbol('x')],
    ['a symbol key', { [Symbol('x')]: 1 }],
    ['a lone surrogate', '\ud800'],
    ['a lone surrogate in a key', { 'a\udc00': 1 }],
    ['a date', new Date(0)],
    ['bytes', new Uint8Array(2)],
    ['a map', new Map()],
    ['an accessor', Object.defineProperty({}, 'a', { get: () => 1, enumerable: true })],
    ['a hidden property', Object.defineProperty({}, 'a', { value: 1, enumerable: false })],
    ['a hole', hole],
    ['a property on an array', Object.assign([1], { extra: 2 })],
    ['a toJSON method', { toJSON: () => 1 }],
    ['a cycle', circular],
  ])('refuses %s', (_name, value) => {
    expect(() => canonicalJson(value, 'data')).toThrow(
      expect.objectContaining({ code: 'INVALID_INPUT', argument: expect.stringMatching(/^data/) }),
    );
  });

  it('names the path of what it refuses', () => {
    try {
      canonicalJson({ a: [{ b: 1.5 }] }, 'payload');
      expect.unreachable();
    } catch (error) {
      expect(isVramError(error, 'INVALID_INPUT') && error.argument).toBe('payload.a[0].b');
    }
  });
});
