import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isVramError } from '../../src/base/errors.js';
import { bytesAccess } from '../../src/models/random-access.js';
import { readSafetensors } from '../../src/models/safetensors.js';
import { safetensorsFile } from '../fuzz/build.mjs';
import { propertyRuns } from '../support/property-runs.js';

const BYTES: Readonly<Record<string, number>> = { U8: 1, BF16: 2, F32: 4, I64: 8 };
const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
  .filter((text) => !/[\p{Cc}\u2028\u2029]|^__metadata__$/u.test(text));
const tensor = fc.record({
  name,
  dtype: fc.constantFrom(...Object.keys(BYTES)),
  shape: fc.array(fc.nat(5), { maxLength: 4 }),
});
const tensors = fc.uniqueArray(tensor, { selector: (entry) => entry.name, maxLength: 12 });

function fileOf(list: readonly { name: string; dtype: string; shape: number[] }[], indent: number) {
  let end = 0;
  const entries = list.map(({ name: key, dtype, shape }) => {
    const byteLength = shape.reduce((product, dimension) => product * dimension, BYTES[dtype] ?? 0);
    const begin = end;
    end += byteLength;
    return { key, dtype, shape, begin, byteLength };
  });
  const members = entries.map(
    ({ key, dtype, shape, begin, byteLength }) =>
      `${JSON.stringify(key)}: ${JSON.stringify({ dtype, shape, data_offsets: [begin, begin + byteLength] }, null, indent)}`,
  );
  const text = `{${members.join(', ')}}`;
  const dataStart = 8 + new TextEncoder().encode(text).length;
  return { bytes: safetensorsFile(text, end), entries, dataStart };
}

describe('readSafetensors', () => {
  it('finds every tensor of any valid file', async () => {
    await fc.assert(
      fc.asyncProperty(tensors, fc.nat(3), async (list, indent) => {
        const { bytes, entries, dataStart } = fileOf(list, indent);
        const found = await readSafetensors(bytesAccess(bytes));
        const byName = new Map(found.map((entry) => [entry.name, entry]));
        expect(found.length).toBe(entries.length);
        for (const { key, dtype, shape, begin, byteLength } of entries) {
          expect(byName.get(key)).toEqual({
            name: key,
            dtype,
            shape,
            byteOffset: dataStart + begin,
            byteLength,
            encoding: 'raw',
          });
        }
      }),
      { numRuns: propertyRuns(300) },
    );
  });

  it('refuses every file cut short or made longer', async () => {
    await fc.assert(
      fc.asyncProperty(tensors, fc.integer({ min: -200, max: 200 }), async (list, change) => {
        const { bytes } = fileOf(list, 0);
        const length = Math.max(0, bytes.length + change);
        if (length === bytes.length) return;
        const other = new Uint8Array(length);
        other.set(bytes.subarray(0, length));
        const error: unknown = await readSafetensors(bytesAccess(other)).catch((e: unknown) => e);
        expect(isVramError(error, 'INVALID_INPUT')).toBe(true);
      }),
      { numRuns: propertyRuns(300) },
    );
  });
});
