import { describe, expect, it } from 'vitest';
import { isVramError } from '../../../src/base/errors.js';
import { bytesAccess } from '../../../src/models/random-access.js';
import { checkShardsAgainstIndex, readShardedIndex } from '../../../src/models/safetensors-index.js';
import type { TensorEntry } from '../../../src/models/tensors.js';
import { SHARDED_CASES } from '../../fuzz/hostile/sharded.js';

const entry = (name: string): TensorEntry => ({
  name,
  dtype: 'U8',
  shape: [1],
  byteOffset: 0,
  byteLength: 1,
  encoding: 'raw',
});

describe('readShardedIndex', () => {
  it.each(SHARDED_CASES)('refuses $what', async ({ bytes, message }) => {
    const error: unknown = await readShardedIndex(bytesAccess(bytes), 'i.json').catch((e: unknown) => e);
    if (!isVramError(error, 'INVALID_INPUT')) throw new Error('not refused', { cause: error });
    expect(error.message).toBe(`"i.json" ${message}`);
  });

  it('gives files in order, whatever else the index says', async () => {
    const text = JSON.stringify(
      {
        dtype: 'bfloat16',
        metadata: { total_size: 1.5e10, list: [true, false, null, -0.5, 'x'], deep: { a: {} } },
        weight_map: { b: 'm-2.safetensors', a: 'm-1.safetensors', c: 'm-2.safetensors' },
      },
      null,
      2,
    );
    const index = await readShardedIndex(bytesAccess(new TextEncoder().encode(`${text}\n`)));
    expect(index.files).toEqual(['m-1.safetensors', 'm-2.safetensors']);
    expect([...index.fileOf]).toEqual([
      ['b', 'm-2.safetensors'],
      ['a', 'm-1.safetensors'],
      ['c', 'm-2.safetensors'],
    ]);
  });
});

describe('checkShardsAgainstIndex', () => {
  const index = {
    files: ['1.safetensors', '2.safetensors'],
    fileOf: new Map([
      ['a', '1.safetensors'],
      ['b', '2.safetensors'],
    ]),
  };
  const check = (one: string[], two: string[]): void =>
    checkShardsAgainstIndex(
      index,
      [
        { file: '1.safetensors', tensors: one.map(entry) },
        { file: '2.safetensors', tensors: two.map(entry) },
      ],
      'i.json',
    );

  it('takes files that hold what the index names', () => {
    expect(() => check(['a'], ['b'])).not.toThrow();
  });

  it.each([
    [['a'], [], '"i.json" names the tensor "b", which "2.safetensors" does not hold'],
    [['a', 'c'], ['b'], '"i.json" does not name the tensor "c", which "1.safetensors" holds'],
    [['a', 'b'], [], '"i.json" names another file for the tensor "b" than "1.safetensors", which holds it'],
    [['a'], ['a'], '"i.json" names another file for the tensor "a" than "2.safetensors", which holds it'],
  ])('refuses %j and %j', (one, two, message) => {
    expect(() => check(one, two)).toThrow(message);
  });
});
