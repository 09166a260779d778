import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, overlay, pattern, readerOver } from '../fixture.js';

describe('reading from a source', () => {
  const bytes = pattern(100);

  it('gives a copy of what was asked for', async () => {
    const own = bytes.slice();
    const source = { ...bytesSource(own), readRange: async () => own.subarray(10, 15) };
    const read = await readerOver(source).range(10, 5);
    own.fill(0);
    expect(read).toEqual(bytes.slice(10, 15));
  });

  it('says what went wrong', async () => {
    const from = (readRange: unknown, signal?: AbortSignal) =>
      failure(
        readerOver(overlay(bytesSource(bytes), { readRange, label: 'weights' }), { ends: [signal] }).range(
          10,
          5,
        ),
      );
    for (const given of [new Uint8Array(4), new Uint8Array(6), 'bytes', [1, 2, 3, 4, 5]]) {
      expect(await from(async () => given)).toMatchObject({
        code: 'SOURCE_MISMATCH',
        message: 'the source "weights" did not give 5 bytes at 10',
      });
    }
    const own = new RangeError('mine');
    const throwing = async (): Promise<never> => {
      throw own;
    };
    expect(await from(throwing)).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'source',
      message: '"source" failed while it was read',
      cause: own,
    });
    // Nothing is asked after the end.
    let asked = 0;
    expect(await from(async () => asked++, AbortSignal.abort(own))).toMatchObject({
      code: 'ABORTED',
      message: 'the operation was aborted by its signal',
      cause: own,
    });
    expect(asked).toBe(0);
    expect(await from(throwing, new AbortController().signal)).toMatchObject({ code: 'INVALID_INPUT' });
    const ours = new VramError('SOURCE_MISMATCH', 'it changed');
    expect(await from(() => Promise.reject(ours))).toBe(ours);
  });
});
