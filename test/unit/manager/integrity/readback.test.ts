import { describe, expect, it } from 'vitest';
import { VramError } from '../../../../src/base/errors.js';
import type { Region } from '../../../../src/device/index.js';
import { createPortableEngine } from '../../../../src/digest/index.js';
import { readbackDigest } from '../../../../src/manager/integrity/readback.js';
import type { Core } from '../../../../src/manager/state/core.js';
import { failure, overlay, pattern } from '../fixture.js';
import { part, shardOver } from './fixture.js';

const MIB = 2 ** 20;

describe('readback', () => {
  const bytes = pattern(4 * MIB + 1);
  const region = (read: Region['read']): Region => ({ byteLength: bytes.length, read }) as unknown as Region;

  it('comes in windows of 4 MiB, and says how far it is', async () => {
    const reads: number[][] = [];
    const seen: unknown[] = [];
    const digest = await readbackDigest(
      part(),
      region(async (offset, length) => {
        reads.push([offset, length]);
        return bytes.slice(offset, offset + length);
      }),
      { onProgress: (progress) => seen.push(progress) },
    );
    expect(digest).toBe((await shardOver(bytes, false)).live.sealed.fsverity);
    expect(reads).toEqual([
      [0, 4 * MIB],
      [4 * MIB, 1],
    ]);
    expect(seen).toEqual([
      { phase: 'readback', bytes: 4 * MIB, totalBytes: 4 * MIB + 1 },
      { phase: 'readback', bytes: 4 * MIB + 1, totalBytes: 4 * MIB + 1 },
    ]);
  });

  it('that fails, or is aborted, or cannot be hashed, ends with that and frees the digest', async () => {
    const engine = createPortableEngine();
    let aborted = 0;
    const watched = (update?: () => Promise<never>): Core =>
      part(
        overlay(engine, {
          start: (request: Parameters<typeof engine.start>[0]) => {
            expect(request).toEqual({ byteLength: bytes.length, sha256: false, keep: 'root' });
            const stream = engine.start(request);
            return overlay(stream, {
              abort: () => {
                aborted++;
                stream.abort();
              },
              ...(update === undefined ? {} : { update }),
            });
          },
        }),
      );
    const gone = new VramError('DEVICE_LOST', 'gone');
    const failing = region(async (offset, length) => {
      if (offset > 0) throw gone;
      return bytes.slice(offset, offset + length);
    });
    expect(await failure(readbackDigest(watched(), failing, {}))).toBe(gone);
    const full = new Error('no memory');
    const update = (): Promise<never> => Promise.reject(full);
    expect(await failure(readbackDigest(watched(update), failing, {}))).toBe(full);
    const aborting = new AbortController();
    const slow = region(async (offset, length) => {
      if (offset > 0) aborting.abort('enough');
      return bytes.slice(offset, offset + length);
    });
    const late = readbackDigest(watched(), slow, { signal: aborting.signal });
    expect(await failure(late)).toMatchObject({ code: 'ABORTED', cause: 'enough' });
    expect(aborted).toBe(3);
  });
});
