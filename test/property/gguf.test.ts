import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isVramError } from '../../src/base/errors.js';
import { readGguf } from '../../src/models/gguf.js';
import { bytesAccess } from '../../src/models/random-access.js';
import { ggufFile, ggufKey, ggufString, ggufTensor, u32 } from '../fuzz/build.mjs';
import { propertyRuns } from '../support/property-runs.js';

const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
  .filter((text) => !/[\p{Cc}\u2028\u2029]/u.test(text));
/** Type number, elements and bytes of a block. */
const type = fc.constantFrom(
  [0, 1, 4] as const,
  [1, 1, 2] as const,
  [8, 32, 34] as const,
  [12, 256, 144] as const,
);
const tensor = fc.record({
  name,
  type,
  dims: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }),
});
const tensors = fc.uniqueArray(tensor, { selector: (entry) => entry.name, maxLength: 8 });

describe('readGguf', () => {
  it('finds every tensor of any valid file, and refuses it when it is cut inside its last tensor', async () => {
    await fc.assert(
      fc.asyncProperty(
        tensors,
        fc.constantFrom(8, 32, 4096),
        fc.uniqueArray(name, { maxLength: 5 }),
        fc.nat(),
        async (list, alignment, keys, cut) => {
          let end = 0;
          const entries = list.map(({ name: key, type: [number, elements, bytes], dims }) => {
            const shape = dims.map((dimension, i) => (i === 0 ? dimension * elements : dimension));
            const offset = Math.ceil(end / alignment) * alignment;
            const byteLength = dims.reduce((product, dimension) => product * dimension, bytes);
            end = offset + byteLength;
            return { key, number, shape, offset, byteLength };
          });
          const file = ggufFile({
            keys: [
              ...keys.map((key) => ggufKey(`k.${key}`, 8, ggufString(key))),
              ggufKey('general.alignment', 4, u32(alignment)),
            ],
            tensors: entries.map(({ key, number, shape, offset }) =>
              ggufTensor({ name: key, dims: shape, type: number, offset }),
            ),
            alignment,
            data: end,
          });
          const found = await readGguf(bytesAccess(file));
          const rows = found.map((entry) => [entry.name, entry.shape, entry.byteOffset, entry.byteLength]);
          expect(rows).toEqual(
            entries.map(({ key, shape, offset, byteLength }) => [
              key,
              shape,
              file.length - end + offset,
              byteLength,
            ]),
          );
          const last = entries.at(-1);
          if (last === undefined) return;
          const shorter = file.subarray(0, file.length - 1 - (cut % last.byteLength));
          const error: unknown = await readGguf(bytesAccess(shorter)).catch((e: unknown) => e);
          expect(isVramError(error, 'INVALID_INPUT')).toBe(true);
        },
      ),
      { numRuns: propertyRuns(300) },
    );
  });
});
