import { describe, expect, it } from 'vitest';
import { isVramError } from '../../../src/base/errors.js';
import { bytesAccess } from '../../../src/models/random-access.js';
import { readSafetensors } from '../../../src/models/safetensors.js';
import { safetensorsFile } from '../../fuzz/build.mjs';
import { SAFETENSORS_CASES } from '../../fuzz/hostile/safetensors.js';

describe('readSafetensors', () => {
  it.each(SAFETENSORS_CASES)('refuses $what', async ({ bytes, message }) => {
    const error: unknown = await readSafetensors(bytesAccess(bytes), 'x.safetensors').catch(
      (e: unknown) => e,
    );
    if (!isVramError(error, 'INVALID_INPUT')) throw new Error('not refused', { cause: error });
    expect(error.message).toBe(`"x.safetensors" ${message}`);
  });

  it('places tensors after the header, in the order of their bytes', async () => {
    const header = {
      b: { dtype: 'BF16', shape: [2, 3], data_offsets: [4, 16] },
      __metadata__: { format: 'pt', note: 'line\nbreak "quoted" \u{1f600}' },
      'a "quoted" é': { data_offsets: [0, 4], shape: [], dtype: 'F32' },
      none: { dtype: 'F64', shape: [3, 0], data_offsets: [16, 16] },
      nibbles: { dtype: 'F4', shape: [4], data_offsets: [16, 18] },
    };
    const text = `${JSON.stringify(header)}   `;
    const dataStart = 8 + new TextEncoder().encode(text).length;
    expect(await readSafetensors(bytesAccess(safetensorsFile(text, 18)))).toEqual([
      {
        name: 'a "quoted" é',
        dtype: 'F32',
        shape: [],
        byteOffset: dataStart,
        byteLength: 4,
        encoding: 'raw',
      },
      { name: 'b', dtype: 'BF16', shape: [2, 3], byteOffset: dataStart + 4, byteLength: 12, encoding: 'raw' },
      {
        name: 'none',
        dtype: 'F64',
        shape: [3, 0],
        byteOffset: dataStart + 16,
        byteLength: 0,
        encoding: 'raw',
      },
      {
        name: 'nibbles',
        dtype: 'F4',
        shape: [4],
        byteOffset: dataStart + 16,
        byteLength: 2,
        encoding: 'raw',
      },
    ]);
  });

  it('takes a file without tensors, and names that are those of prototypes', async () => {
    expect(await readSafetensors(bytesAccess(safetensorsFile('{}')))).toEqual([]);
    const text = '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}';
    const [tensor] = await readSafetensors(bytesAccess(safetensorsFile(text, 1)));
    expect(tensor?.name).toBe('__proto__');
  });

  it('reads the header alone', async () => {
    const file = safetensorsFile({ a: { dtype: 'U8', shape: [1000], data_offsets: [0, 1000] } }, 1000);
    const headerEnd = file.length - 1000;
    const whole = bytesAccess(file);
    let furthest = 0;
    await readSafetensors({
      byteLength: whole.byteLength,
      read: (offset, length) => {
        furthest = Math.max(furthest, offset + length);
        return whole.read(offset, length);
      },
    });
    expect(furthest).toBe(headerEnd);
  });
});
