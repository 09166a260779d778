import { describe, expect, it } from 'vitest';
import { isVramError } from '../../../src/base/errors.js';
import { isJsonObject, parseStrictJson, type StrictJsonOptions } from '../../../src/base/strict-json.js';

function refusal(text: string, options?: StrictJsonOptions): string {
  try {
    parseStrictJson(text, options);
  } catch (error) {
    if (isVramError(error, 'INVALID_INPUT')) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('parseStrictJson', () => {
  it('gives what JSON.parse gives', () => {
    const text = ' {"a":[1,-0,2.5e-3,true,false,null,"\\u00e9\\n\\/"],"":{"\\ud83d\\ude00":"€"}} \n';
    expect(parseStrictJson(text)).toEqual(JSON.parse(text));
    expect(Object.is(parseStrictJson('-0'), -0)).toBe(true);
  });

  it.each([
    ['{"a":1,"a":2}', '"JSON" has a key twice in one object (position 7)'],
    ['{"a":1,"\\u0061":2}', '"JSON" has a key twice in one object (position 7)'],
    ['{"__proto__":1,"__proto__":2}', '"JSON" has a key twice in one object (position 15)'],
    ['[{"b":{"a":1,"a":1}}]', '"JSON" has a key twice in one object (position 13)'],
    ['', '"JSON" ends too early (position 0)'],
    ['  ', '"JSON" ends too early (position 2)'],
    ['{} {}', '"JSON" has something after its value (position 3)'],
    ['1,', '"JSON" has something after its value (position 1)'],
    ['01', '"JSON" has something after its value (position 1)'],
    ['{"a":1}\0', '"JSON" has something after its value (position 7)'],
    ['\ufeff{}', '"JSON" needs a value (position 0)'],
    ['\u00a01', '"JSON" needs a value (position 0)'],
    ['[1,]', '"JSON" needs a value (position 3)'],
    ['[1 2]', '"JSON" needs "," or "]" (position 3)'],
    ['[1', '"JSON" ends too early (position 2)'],
    ['{"a":1,}', '"JSON" needs a key in double quotes (position 7)'],
    ["{'a':1}", '"JSON" needs a key in double quotes (position 1)'],
    ['{"a" 1}', '"JSON" needs ":" (position 5)'],
    ['{"a":1 "b"', '"JSON" needs "," or "}" (position 7)'],
    ['{"a":', '"JSON" ends too early (position 5)'],
    ['"abc', '"JSON" ends inside a string (position 4)'],
    ['"a\nb"', '"JSON" has a control character in a string (position 2)'],
    ['"\\x"', '"JSON" has a bad escape in a string (position 1)'],
    ['"\\', '"JSON" has a bad escape in a string (position 1)'],
    ['"\\u12g4"', '"JSON" has a bad \\u escape in a string (position 1)'],
    ['"\\u12', '"JSON" has a bad \\u escape in a string (position 1)'],
    ['nul', '"JSON" needs a value (position 0)'],
    ['+1', '"JSON" needs a value (position 0)'],
    ['.5', '"JSON" needs a value (position 0)'],
    ['1.', '"JSON" has something after its value (position 1)'],
    ['NaN', '"JSON" needs a value (position 0)'],
    ['9007199254740992', '"JSON" has an integer beyond 2^53 - 1 (position 0)'],
    ['[-9007199254740993]', '"JSON" has an integer beyond 2^53 - 1 (position 1)'],
    ['1e999', '"JSON" has a number beyond the largest double (position 0)'],
  ])('refuses %j', (text, message) => {
    expect(refusal(text)).toBe(message);
  });

  it('bounds the depth, by default at 64', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect(refusal(nested(64))).toBe('accepted');
    expect(refusal(nested(65))).toBe('"JSON" is nested deeper than 64 levels (position 64)');
    expect(refusal('{"a":{"b":1}}', { maxDepth: 1 })).toContain('is nested deeper than 1 levels');
    expect(refusal('{"a":1}', { maxDepth: 1 })).toBe('accepted');
    expect(refusal('1', { maxDepth: 0 })).toContain('"maxDepth" must be');
    expect(refusal('['.repeat(5_000_000))).toContain('is nested deeper than 64 levels');
  });

  it('refuses lone surrogates only where asked to, in keys too', () => {
    for (const text of ['"\\ud800"', '"\ud800"', '{"\\udc00":1}', '["\\udc00\\ud800"]']) {
      expect(refusal(text)).toBe('accepted');
      expect(refusal(text, { refuseLoneSurrogates: true })).toContain('has a lone surrogate in a string');
    }
    expect(refusal('"\\ud83d\\ude00"', { refuseLoneSurrogates: true })).toBe('accepted');
  });

  it('keeps keys such as __proto__ as keys, and inherits nothing', () => {
    const value = parseStrictJson('{"__proto__":{"polluted":true}}');
    if (!isJsonObject(value)) throw new Error('not an object');
    expect(Object.keys(value)).toEqual(['__proto__']);
    expect(value['polluted']).toBeUndefined();
    expect(value['constructor']).toBeUndefined();
    expect(Object.getPrototypeOf({})).not.toHaveProperty('polluted');
  });

  it('never repeats the text in its message, and names what was parsed', () => {
    const message = refusal('{"secret-key":1,"secret-key":2}', { what: 'handle' });
    expect(message).toBe('"handle" has a key twice in one object (position 16)');
    expect(refusal('{"token":hunter2}')).not.toContain('hunter2');
  });

  it('refuses what is not a string', () => {
    expect(() => Reflect.apply(parseStrictJson, undefined, [{}])).toThrow('"JSON" must be a string');
  });
});
