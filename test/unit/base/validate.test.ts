import { describe, expect, it } from 'vitest';
import { checkBytes, checkId, checkInteger, checkLabel, checkOneOf } from '../../../src/base/validate.js';

const refused = (argument: string): unknown => expect.objectContaining({ code: 'INVALID_INPUT', argument });

describe('validation', () => {
  it('[IV-003] ids', () => {
    for (const id of ['a', 'A-z_09', 'x'.repeat(256)]) expect(checkId('id', id)).toBe(id);
    for (const id of [
      '',
      'x'.repeat(257),
      'a.b',
      '../a',
      'a/b',
      'a\\b',
      'a b',
      'a\n',
      'a\0',
      'ä',
      '\u202e',
      5,
      null,
      ['a'],
      new String('a'),
    ]) {
      expect(() => checkId('id', id)).toThrow(refused('id'));
    }
  });

  it('[IV-005] [IV-007] labels', () => {
    for (const label of ['a', 'org/model@1', 'ä€\u{1f600}', 'x'.repeat(1024), '€'.repeat(341)])
      expect(checkLabel('l', label)).toBe(label);
    for (const label of [
      '',
      'x'.repeat(1025),
      '€'.repeat(342),
      'a\0',
      'a\u001b[31m',
      'a\u0085',
      'a\u2028',
      '\ud800',
      'a\udc00b',
      5,
      null,
    ]) {
      expect(() => checkLabel('l', label)).toThrow(refused('l'));
    }
  });

  it('[MS-006] integers', () => {
    expect(checkInteger('n', 5, 0)).toBe(5);
    expect(checkInteger('n', 2 ** 53 - 1, 0)).toBe(2 ** 53 - 1);
    for (const value of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '5', 5n, null, undefined]) {
      expect(() => checkInteger('n', value, 0)).toThrow(refused('n'));
    }
    expect(() => checkInteger('n', 6, 0, 5)).toThrow('from 0 to 5, got 6');
  });

  it('words and bytes', () => {
    expect(checkOneOf('w', 'b', ['a', 'b'])).toBe('b');
    for (const word of ['c', '', null, 'toString'])
      expect(() => checkOneOf('w', word, ['a', 'b'])).toThrow(refused('w'));
    const bytes = new Uint8Array(2);
    expect(checkBytes('b', bytes)).toBe(bytes);
    for (const value of [[1], new ArrayBuffer(2), new Uint16Array(1), 'ab', null])
      expect(() => checkBytes('b', value)).toThrow(refused('b'));
  });

  it('messages never repeat text that was given', () => {
    expect(() => checkId('id', 'secret token!')).toThrow(/^(?!.*secret).*$/);
    expect(() => checkOneOf('w', 'secret', ['a'])).toThrow(/^(?!.*secret).*$/);
  });
});
