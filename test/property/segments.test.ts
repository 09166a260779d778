import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SegmentTable } from '../../src/device/segments.js';
import { propertyRuns } from '../support/property-runs.js';

const MAX = Number.MAX_SAFE_INTEGER;

/** The same in arbitrary precision, by walking every segment; null = refused. */
function oracle(lengths: readonly number[], offset: number, length: number) {
  const total = lengths.reduce((sum, part) => sum + BigInt(part), 0n);
  if (BigInt(offset) + BigInt(length) > total) return null;
  const from = BigInt(offset);
  const to = from + BigInt(length);
  const pieces: { segment: number; offset: number; length: number }[] = [];
  let start = 0n;
  for (const [segment, part] of lengths.entries()) {
    const end = start + BigInt(part);
    const first = from > start ? from : start;
    const last = to < end ? to : end;
    if (first < last) pieces.push({ segment, offset: Number(first - start), length: Number(last - first) });
    start = end;
  }
  return pieces;
}

const anyCount = fc.oneof(
  fc.integer({ min: 0, max: 64 }),
  fc.integer({ min: 0, max: MAX }),
  fc.integer({ min: MAX - 64, max: MAX }),
);

describe('[MS-006] range resolver', () => {
  it('agrees with arbitrary-precision arithmetic', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 2 ** 50 })), {
          maxLength: 7,
        }),
        fc.array(fc.tuple(anyCount, anyCount), { minLength: 1, maxLength: 8 }),
        fc.array(
          fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })),
          {
            minLength: 1,
            maxLength: 8,
          },
        ),
        async (lengths, free, inside) => {
          const table = await SegmentTable.create(lengths);
          const total = lengths.reduce((sum, part) => sum + part, 0);
          expect(table.byteLength).toBe(total);
          const near = inside.map(([a, b]): [number, number] => {
            const offset = Math.floor(total * a);
            return [offset, Math.floor((total - offset) * b)];
          });
          for (const [offset, length] of [...free, ...near]) {
            const expected = oracle(lengths, offset, length);
            if (expected === null) {
              expect(() => table.resolve(offset, length)).toThrow(
                expect.objectContaining({ code: 'INVALID_INPUT' }),
              );
            } else expect(table.resolve(offset, length)).toEqual(expected);
          }
        },
      ),
      { numRuns: propertyRuns(300) },
    );
  });
});
