import { describe, expect, it } from 'vitest';
import { blobSource } from '../../../src/page/index.js';
import { xorshiftBytes } from '../../support/xorshift.js';

const BYTES = xorshiftBytes(3, 100_001);

describe('blobSource', () => {
  it('gives the bytes in chunks of at most so many, and any range again', async () => {
    const source = blobSource(new Blob([new Uint8Array(BYTES)]));
    expect({ label: source.label, byteLength: source.byteLength }).toEqual({
      label: 'blob',
      byteLength: 100_001,
    });
    const chunks: Uint8Array[] = [];
    for await (const chunk of source.stream({ chunkBytes: 30_000 })) chunks.push(chunk);
    expect(chunks.map(({ length }) => length)).toEqual([30_000, 30_000, 30_000, 10_001]);
    expect(Buffer.compare(Buffer.concat(chunks), BYTES)).toBe(0);
    expect(Buffer.from((await source.readRange?.(99_000, 1_001)) ?? [])).toEqual(
      Buffer.from(BYTES.slice(99_000)),
    );
    await source.unchanged();
  });

  it('has the name of a file, and refuses ranges behind its end', async () => {
    const source = blobSource(new File([new Uint8Array(10)], 'model.gguf'));
    expect(source.label).toBe('model.gguf');
    await expect(source.readRange?.(5, 6)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    expect(() => blobSource('text' as never)).toThrow('"blob"');
  });

  it('says so where the file can no longer be read', async () => {
    const blob = new Blob([new Uint8Array(10)]);
    const gone = (): Promise<ArrayBuffer> => Promise.reject(new DOMException('gone', 'NotReadableError'));
    Object.assign(blob, { slice: () => ({ arrayBuffer: gone }) });
    await expect(blobSource(blob).unchanged()).rejects.toMatchObject({ code: 'SOURCE_MISMATCH' });
  });

  it('stops with its signal', async () => {
    const stop = new AbortController();
    const reading = async (): Promise<void> => {
      const chunks = blobSource(new Blob([new Uint8Array(10)])).stream({
        chunkBytes: 4,
        signal: stop.signal,
      });
      for await (const chunk of chunks) if (chunk.length > 0) stop.abort();
    };
    await expect(reading()).rejects.toMatchObject({ code: 'ABORTED' });
  });
});
