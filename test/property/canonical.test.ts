import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalBytes, canonicalJson } from '../../src/base/canonical-json.js';
import type { JsonValue } from '../../src/base/json.js';
import { parseStrictJson } from '../../src/base/strict-json.js';
import { propertyRuns } from '../support/property-runs.js';

const text = fc.string({ unit: 'binary' });
/** Everything that may be signed. */
const json = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger().map((number) => number + 0),
    text,
    fc.array(tie('value'), { maxLength: 6 }),
    fc.dictionary(text, tie('value'), { maxKeys: 6, noNullPrototype: true }),
  ),
})).value;

/** RFC 8785 by its text: keys in the order of their UTF-16 code units, the shortest escapes, no white space. */
function naive(value: JsonValue): string {
  if (Array.isArray(value)) return `[${value.map(naive).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value) as [string, JsonValue][];
  entries.sort(([a], [b]) => compareUnits(a, b));
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${naive(inner)}`).join(',')}}`;
}

function compareUnits(a: string, b: string): number {
  for (let index = 0; index < Math.min(a.length, b.length); index++) {
    const difference = a.charCodeAt(index) - b.charCodeAt(index);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function reversed(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  const turned = (Object.entries(value) as [string, JsonValue][]).reverse();
  return Object.fromEntries(turned.map(([key, inner]) => [key, reversed(inner)]));
}

describe('[CI-002] canonical JSON', () => {
  it('is what RFC 8785 says, reads back as the same data, and is its own canonical form', () => {
    fc.assert(
      fc.property(json, (value) => {
        const written = canonicalJson(value);
        expect(written).toBe(naive(value));
        expect(parseStrictJson(written)).toEqual(value);
        expect(canonicalJson(parseStrictJson(written))).toBe(written);
        expect(new TextDecoder('utf-8', { fatal: true }).decode(canonicalBytes(value))).toBe(written);
      }),
      { numRuns: propertyRuns(500) },
    );
  });

  it('does not depend on the order in which keys were set', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(canonicalJson(reversed(value))).toBe(canonicalJson(value));
      }),
      { numRuns: propertyRuns(300) },
    );
  });

  it('is the same for the same data alone', () => {
    fc.assert(
      fc.property(json, json, (one, other) => {
        expect(canonicalJson(one) === canonicalJson(other)).toBe(naive(one) === naive(other));
      }),
      { numRuns: propertyRuns(300) },
    );
  });

  it('refuses what two readers could take differently, wherever it stands', () => {
    const bad = fc.constantFrom<unknown>(
      0.5,
      -0,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      2 ** 53,
      '\ud800',
      'a\udfff',
      undefined,
      Symbol('s'),
      () => 1,
      new Date(0),
      7n,
    );
    const place = fc.array(fc.oneof(fc.constant(null), text), { maxLength: 5 });
    fc.assert(
      fc.property(bad, place, (value, path) => {
        const nested = path.reduce<unknown>(
          (inner, key) => (key === null ? [inner] : { [key]: inner }),
          value,
        );
        expect(() => canonicalJson(nested)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }));
      }),
      { numRuns: propertyRuns(300) },
    );
  });
});
