import { describe, expect, it } from 'vitest';
import { isVramError } from '../../../src/base/errors.js';
import { readGguf } from '../../../src/models/gguf.js';
import { GGUF_TYPES } from '../../../src/models/gguf-types.js';
import { bytesAccess } from '../../../src/models/random-access.js';
import { concat, ggufFile, ggufKey, ggufString, ggufTensor, u32, u64 } from '../../fuzz/build.mjs';
import { GGUF_CASES } from '../../fuzz/hostile/gguf.js';

describe('readGguf', () => {
  it.each(GGUF_CASES)('refuses $what', async ({ bytes, message }) => {
    const error: unknown = await readGguf(bytesAccess(bytes), 'x.gguf').catch((e: unknown) => e);
    if (!isVramError(error, 'INVALID_INPUT')) throw new Error('not refused', { cause: error });
    expect(error.message).toBe(`"x.gguf" ${message}`);
  });

  it.each([2, 3])('places tensors after metadata of every type, version %i', async (version) => {
    const file = ggufFile({
      version,
      keys: [
        ...[1, 1, 2, 2, 4, 4, 4, 1].map((bytes, type) => ggufKey(`k${type}`, type, new Uint8Array(bytes))),
        ...[10, 11, 12].map((type) => ggufKey(`k${type}`, type, u64(1))),
        ggufKey('text', 8, ggufString('x'.repeat(100_000))),
        ggufKey(
          'words',
          9,
          concat(u32(8), u64(3), ggufString('a'), ggufString(''), ggufString('b'.repeat(70_000))),
        ),
        ggufKey('lists', 9, concat(u32(9), u64(2), u32(0), u64(3), 'abc', u32(8), u64(1), ggufString('z'))),
        ggufKey('general.alignment', 4, u32(64)),
      ],
      tensors: [
        ggufTensor({ name: 'late', dims: [256, 2], type: 12, offset: 64 }),
        ggufTensor({ name: 'early', dims: [3], type: 30, offset: 0 }),
        ggufTensor({ name: 'scalar', dims: [], type: 0, offset: 384 }),
      ],
      alignment: 64,
      data: 388,
    });
    const dataStart = file.length - 388;
    expect(await readGguf(bytesAccess(file))).toEqual([
      { name: 'early', dtype: 'BF16', shape: [3], byteOffset: dataStart, byteLength: 6, encoding: 'raw' },
      {
        name: 'late',
        dtype: 'Q4_K',
        shape: [256, 2],
        byteOffset: dataStart + 64,
        byteLength: 288,
        encoding: 'raw',
      },
      {
        name: 'scalar',
        dtype: 'F32',
        shape: [],
        byteOffset: dataStart + 384,
        byteLength: 4,
        encoding: 'raw',
      },
    ]);
  });

  it('takes a tensor of a type without a size here up to the next one, and the last one to the end', async () => {
    const file = ggufFile({
      tensors: [
        ggufTensor({ name: 'b', dims: [256, 2], type: 139, offset: 320 }),
        ggufTensor({ name: 'a', dims: [256, 2], type: 139, offset: 0 }),
        ggufTensor({ name: 'none', dims: [0], type: 156, offset: 0 }),
      ],
      data: 608,
    });
    const start = file.length - 608;
    const unknown = { encoding: 'unknown' as const };
    expect(await readGguf(bytesAccess(file))).toEqual([
      { name: 'none', dtype: 'TYPE_156', shape: [0], byteOffset: start, byteLength: 0, ...unknown },
      { name: 'a', dtype: 'TYPE_139', shape: [256, 2], byteOffset: start, byteLength: 320, ...unknown },
      { name: 'b', dtype: 'TYPE_139', shape: [256, 2], byteOffset: start + 320, byteLength: 288, ...unknown },
    ]);
  });

  it('knows the size of every tensor type', () => {
    // Bits per weight as ggml's type traits give them.
    const bits = Object.fromEntries(
      [...GGUF_TYPES.values()].map(({ name, blockElements, blockBytes }) => [
        name,
        (8 * blockBytes) / blockElements,
      ]),
    );
    expect(bits).toEqual({
      F32: 32,
      F16: 16,
      BF16: 16,
      F64: 64,
      I8: 8,
      I16: 16,
      I32: 32,
      I64: 64,
      Q4_0: 4.5,
      Q4_1: 5,
      Q5_0: 5.5,
      Q5_1: 6,
      Q8_0: 8.5,
      Q8_1: 9,
      Q2_K: 2.625,
      Q3_K: 3.4375,
      Q4_K: 4.5,
      Q5_K: 5.5,
      Q6_K: 6.5625,
      Q8_K: 9.125,
      IQ2_XXS: 2.0625,
      IQ2_XS: 2.3125,
      IQ2_S: 2.5625,
      IQ3_XXS: 3.0625,
      IQ3_S: 3.4375,
      IQ1_S: 1.5625,
      IQ1_M: 1.75,
      IQ4_NL: 4.5,
      IQ4_XS: 4.25,
      TQ1_0: 1.6875,
      TQ2_0: 2.0625,
      MXFP4: 4.25,
      NVFP4: 4.5,
      Q1_0: 1.125,
      Q2_0: 2.25,
    });
  });
});
