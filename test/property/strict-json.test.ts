import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isVramError } from '../../src/base/errors.js';
import { parseStrictJson } from '../../src/base/strict-json.js';
import { propertyRuns } from '../support/property-runs.js';

type Outcome = { readonly value: unknown } | 'refused';

function attempt(parse: () => unknown): Outcome {
  try {
    return { value: parse() };
  } catch (error) {
    if (error instanceof SyntaxError || isVramError(error, 'INVALID_INPUT')) return 'refused';
    throw error;
  }
}

/** Refused by design though JSON.parse takes it. */
const STRICTER = /a key twice|beyond 2\^53|largest double|nested deeper/;

describe('parseStrictJson against JSON.parse', () => {
  it('agrees on every JSON value, in every indentation', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), fc.integer({ min: 0, max: 4 }), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        if (/[0-9]{16}/.test(text)) return;
        expect(JSON.stringify(parseStrictJson(text))).toBe(JSON.stringify(JSON.parse(text)));
      }),
      { numRuns: propertyRuns(500) },
    );
  });

  it('agrees on damaged text, but for what it refuses on purpose', () => {
    const edit = fc.record({
      at: fc.nat(),
      remove: fc.nat(3),
      insert: fc.constantFrom(
        '',
        '"',
        '\\',
        '{',
        '}',
        '[',
        ']',
        ',',
        ':',
        '0',
        '-',
        'e',
        '.',
        ' ',
        '\u0001',
        '\\u00',
      ),
    });
    let refused = 0;
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 4 }),
        fc.array(edit, { minLength: 1, maxLength: 3 }),
        (value, edits) => {
          let text = JSON.stringify(value);
          for (const { at, remove, insert } of edits) {
            const start = at % (text.length + 1);
            text = text.slice(0, start) + insert + text.slice(start + remove);
          }
          let reason = '';
          const ours = attempt(() => {
            try {
              return parseStrictJson(text);
            } catch (error) {
              reason = error instanceof Error ? error.message : '';
              throw error;
            }
          });
          if (ours === 'refused') refused += 1;
          if (ours === 'refused' && STRICTER.test(reason)) return;
          const theirs = attempt(() => JSON.parse(text));
          expect(ours === 'refused').toBe(theirs === 'refused');
          if (ours !== 'refused' && theirs !== 'refused') {
            expect(JSON.stringify(ours.value)).toBe(JSON.stringify(theirs.value));
          }
        },
      ),
      { numRuns: propertyRuns(2000) },
    );
    expect(refused).toBeGreaterThan(100);
  });

  it('finds every duplicate key, however it is written', () => {
    const escaped = (text: string): string =>
      [...text.split('')].map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string({ unit: 'binary', maxLength: 8 }), { minLength: 1, maxLength: 8 }),
        fc.nat(),
        (keys, pick) => {
          const members = keys.map((key) => `${JSON.stringify(key)}:1`);
          expect(Object.keys(Object(parseStrictJson(`{${members.join(',')}}`))).length).toBe(keys.length);
          const twice = `${members.join(',')},"${escaped(keys[pick % keys.length] ?? '')}":2`;
          expect(() => parseStrictJson(`{${twice}}`)).toThrow('has a key twice');
        },
      ),
      { numRuns: propertyRuns(300) },
    );
  });
});
