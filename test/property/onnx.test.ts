import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isVramError } from '../../src/base/errors.js';
import { readOnnx } from '../../src/models/onnx.js';
import { bytesAccess } from '../../src/models/random-access.js';
import { concat, field, onnxFile, onnxNode, onnxTensor } from '../fuzz/build.mjs';
import { propertyRuns } from '../support/property-runs.js';

const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
  .filter((text) => !/[\p{Cc}\u2028\u2029]/u.test(text));
const type = fc.constantFrom([1, 4] as const, [2, 1] as const, [7, 8] as const, [16, 2] as const);
const tensor = fc.record({ name, type, dims: fc.array(fc.nat(4), { maxLength: 4 }), constant: fc.boolean() });
const tensors = fc.uniqueArray(tensor, { selector: (entry) => entry.name, maxLength: 8 });

describe('readOnnx', () => {
  it('finds the bytes of every tensor of any valid file, and refuses it when it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(tensors, fc.nat(), async (list, cut) => {
        const values = list.map(({ type: [, bytes], dims }, i) =>
          new Uint8Array(dims.reduce((product, dimension) => product * dimension, bytes)).fill(i + 1),
        );
        const made = list.map(({ name: key, type: [number], dims, constant }, i) =>
          onnxTensor({ name: constant ? null : key, type: number, dims, raw: values[i] ?? 0 }),
        );
        const file = onnxFile({
          initializers: made.filter((_, i) => list[i]?.constant === false),
          graph: list.flatMap(({ name: key, constant }, i) =>
            constant ? [onnxNode(key, concat(field(1, 'value'), field(5, made[i] ?? '')))] : [],
          ),
        });
        const { tensors: found } = await readOnnx(bytesAccess(file));
        const byName = new Map(found.map((entry) => [entry.name, entry]));
        expect(found.length).toBe(list.length);
        for (const [i, { name: key, dims }] of list.entries()) {
          const entry = byName.get(key);
          expect(entry?.shape).toEqual(dims);
          const start = entry?.byteOffset ?? 0;
          expect(file.subarray(start, start + (entry?.byteLength ?? 0))).toEqual(values[i]);
        }
        const error: unknown = await readOnnx(bytesAccess(file.subarray(0, cut % file.length))).catch(
          (e: unknown) => e,
        );
        expect(isVramError(error, 'INVALID_INPUT')).toBe(true);
      }),
      { numRuns: propertyRuns(300) },
    );
  });
});
