import { execFileSync } from 'node:child_process';
import {
  appendFile,
  chmod,
  mkdtemp,
  rename,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fileSource } from '../../../src/node/files/file-source.js';
import { bytesSource, type Source, streamSource } from '../../../src/source/index.js';
import { failure, pattern } from '../manager/fixture.js';

/** Reads a source to its end; every chunk is copied before the next is asked for. */
async function drain(source: Source, chunkBytes: number, signal?: AbortSignal): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of source.stream({ chunkBytes, ...(signal === undefined ? {} : { signal }) })) {
    expect(chunk.length).toBeGreaterThan(0);
    expect(chunk.length).toBeLessThanOrEqual(chunkBytes);
    parts.push(chunk.slice());
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** As toEqual, which takes seconds over a megabyte. */
function expectSame(found: Uint8Array, expected: Uint8Array): void {
  expect(found.length).toBe(expected.length);
  expect(Buffer.compare(found, expected)).toBe(0);
}

describe('bytesSource', () => {
  it('gives the bytes in any chunking, and ranges of them', async () => {
    const bytes = pattern(10_001);
    for (const chunkBytes of [1, 4096, 10_000, 10_001, 2 ** 30]) {
      expectSame(await drain(bytesSource(bytes), chunkBytes), bytes);
    }
    const source = bytesSource(bytes, 'weights');
    expect(source.label).toBe('weights');
    const range = await source.readRange?.(10, 20);
    expect(range).toEqual(bytes.slice(10, 30));
    range?.fill(0);
    expect(bytes[10]).toBe(pattern(10_001)[10]);
    await source.unchanged();
    await source.close();
  });

  it('[MS-007] refuses ranges outside', async () => {
    const source = bytesSource(pattern(10));
    for (const [offset, length] of [
      [0, 11],
      [10, 1],
      [-1, 1],
      [0.5, 1],
      [0, Number.NaN],
      [2 ** 53, 1],
      [5, 2 ** 53 - 1],
    ] as const) {
      expect(await failure(Promise.resolve(source.readRange?.(offset, length)))).toMatchObject({
        code: 'INVALID_INPUT',
      });
    }
  });

  it('[IV-006] finds a buffer that was detached', async () => {
    const bytes = pattern(100);
    const source = bytesSource(bytes);
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    expect(await failure(source.unchanged())).toMatchObject({ code: 'SOURCE_MISMATCH' });
    expect(await failure(drain(source, 10))).toMatchObject({ code: 'SOURCE_MISMATCH' });
  });

  it('refuses what is not bytes, and labels with control characters', () => {
    expect(() => bytesSource(JSON.parse('[1,2]'))).toThrow(expect.objectContaining({ argument: 'bytes' }));
    expect(() => bytesSource(pattern(1), 'a\nb')).toThrow(expect.objectContaining({ argument: 'label' }));
  });
});

describe('streamSource', () => {
  const bytes = pattern(20_000);
  const pieces = (): Uint8Array[] => [
    bytes.slice(0, 1),
    bytes.slice(1, 1),
    bytes.slice(1, 15_000),
    bytes.slice(15_000),
  ];

  it('takes iterables, async iterables and ReadableStreams', async () => {
    const slow = async function* (): AsyncGenerator<Uint8Array> {
      for (const piece of pieces()) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        yield piece;
      }
    };
    const readable = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const piece of pieces()) controller.enqueue(piece);
        controller.close();
      },
    });
    for (const chunks of [pieces(), slow(), readable]) {
      expectSame(await drain(streamSource(chunks, bytes.length), 4096), bytes);
    }
  });

  it('[IV-006] refuses more and fewer bytes than announced', async () => {
    expect(await failure(drain(streamSource(pieces(), 20_001), 4096))).toMatchObject({
      code: 'SOURCE_MISMATCH',
    });
    expect(await failure(drain(streamSource(pieces(), 19_999), 4096))).toMatchObject({
      code: 'SOURCE_MISMATCH',
    });
    expect(await failure(drain(streamSource([], 1), 4096))).toMatchObject({ code: 'SOURCE_MISMATCH' });
  });

  it('is read once, cannot heal, and tells its producer when it is given up', async () => {
    let ended = false;
    const chunks = (function* (): Generator<Uint8Array> {
      try {
        yield* pieces();
      } finally {
        ended = true;
      }
    })();
    const source = streamSource(chunks, bytes.length);
    expect(source.readRange).toBeUndefined();
    for await (const _chunk of source.stream({ chunkBytes: 10 })) break;
    expect(ended).toBe(true);
    expect(await failure(drain(source, 10))).toMatchObject({ code: 'INVALID_INPUT' });
    await source.unchanged();
    await source.close();
  });

  it('a producer that fails after an abort ends nothing but its stream', async () => {
    const aborting = new AbortController();
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', note);
    try {
      const chunks = (async function* (): AsyncGenerator<Uint8Array> {
        yield new Uint8Array(10);
        await new Promise((resolve) => setTimeout(resolve, 1));
        throw new Error('the connection was closed');
      })();
      const reading = (async () => {
        for await (const _ of streamSource(chunks, 20).stream({ chunkBytes: 10, signal: aborting.signal })) {
          aborting.abort();
        }
      })();
      expect(await failure(reading)).toMatchObject({ code: 'ABORTED' });
      await new Promise((resolve) => setTimeout(resolve, 20));
    } finally {
      process.off('unhandledRejection', note);
    }
    expect(unhandled).toEqual([]);
  });

  it('is aborted while its producer is stuck, also one that does not stop', async () => {
    const aborting = new AbortController();
    setTimeout(() => aborting.abort('enough'), 5);
    const stuck: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise(() => undefined),
        return: () => Promise.reject(new Error('x')),
      }),
    };
    expect(await failure(drain(streamSource(stuck, 5), 5, aborting.signal))).toMatchObject({
      code: 'ABORTED',
      cause: 'enough',
    });
  });

  it.each(['at its end', 'when it is left'])('lets a producer fail to stop, %s', async (when) => {
    let stopped = 0;
    let given = 0;
    const chunks: Iterable<Uint8Array> = {
      [Symbol.iterator]: () => ({
        next: () => (given++ < 2 ? { done: false, value: pattern(5) } : { done: true, value: undefined }),
        return: () => {
          stopped++;
          throw new Error('it does not stop');
        },
      }),
    };
    const read = async (): Promise<number> => {
      let bytes = 0;
      for await (const chunk of streamSource(chunks, 10).stream({ chunkBytes: 5 })) {
        bytes += chunk.length;
        if (when === 'when it is left') break;
      }
      return bytes;
    };
    expect(await read()).toBe(when === 'when it is left' ? 5 : 10);
    expect(stopped).toBe(1);
  });

  it('refuses what is not a stream of bytes', async () => {
    for (const chunks of ['text', 5, null, pattern(5), {}]) {
      const attempt = async (): Promise<unknown> => drain(streamSource(chunks as never, 5), 5);
      expect(await failure(attempt())).toMatchObject({ code: 'INVALID_INPUT', argument: 'chunks' });
    }
    expect(await failure(drain(streamSource(['text'] as never, 4), 5))).toMatchObject({ argument: 'chunks' });
    for (const length of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(() => streamSource([], length)).toThrow(expect.objectContaining({ argument: 'byteLength' }));
    }
  });
});

describe('fileSource', () => {
  let folder = '';
  const bytes = pattern(1_000_003);
  const file = async (content: Uint8Array = bytes): Promise<string> => {
    const path = join(folder, `${Math.random().toString(36).slice(2)}.bin`);
    await writeFile(path, content);
    return path;
  };
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vram-source-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it.each([1, 1000, 65_536, 400_000, 1_000_003, 2_000_000])(
    'gives the file in chunks of at most %i',
    async (chunkBytes) => {
      const source = await fileSource(await file(chunkBytes === 1 ? bytes.slice(0, 50) : bytes));
      expectSame(await drain(source, chunkBytes), chunkBytes === 1 ? bytes.slice(0, 50) : bytes);
      await source.close();
      await source.close();
    },
  );

  it('a chunk stays as it is until the next one is asked for, however far reading has run ahead', async () => {
    const source = await fileSource(await file());
    let offset = 0;
    for await (const chunk of source.stream({ chunkBytes: 100_000 })) {
      await new Promise((resolve) => setTimeout(resolve, 3));
      expect(Buffer.compare(chunk, bytes.subarray(offset, offset + chunk.length))).toBe(0);
      offset += chunk.length;
    }
    expect(offset).toBe(bytes.length);
    await source.close();
  });

  it('can be read twice, and at positions', async () => {
    const path = await file();
    const source = await fileSource(path);
    expect(source).toMatchObject({
      byteLength: bytes.length,
      size: bytes.length,
      path,
      label: path.split('/').at(-1),
    });
    expectSame(await drain(source, 300_000), bytes);
    expectSame(await drain(source, 300_000), bytes);
    expect(await source.readRange?.(999_999, 4)).toEqual(bytes.slice(999_999));
    expect(await failure(Promise.resolve(source.readRange?.(999_999, 5)))).toMatchObject({
      code: 'INVALID_INPUT',
    });
    await source.close();
  });

  it('lets an empty file through to whoever judges it', async () => {
    const source = await fileSource(await file(new Uint8Array()));
    expect(source.byteLength).toBe(0);
    expectSame(await drain(source, 10), new Uint8Array());
    await source.close();
  });

  it('refuses a folder, a missing file, a pipe and bad paths, with the reason', async () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const loop = join(folder, 'loop');
    await symlink(loop, loop);
    const cases: [string, RegExp][] = [
      [folder, /is a directory/],
      [join(folder, 'none'), /no such file/],
      [join(await file(), 'below'), /not a directory/],
      [pipe, /not a regular file/],
      [loop, /symbolic links/],
      [join(folder, 'x'.repeat(300)), /too long/],
      ['', /non-empty/],
      ['a\0b', /null bytes/],
    ];
    for (const [path, message] of cases) {
      const error = await failure(fileSource(path));
      expect(error).toMatchObject({ code: 'INVALID_INPUT', argument: 'path' });
      expect(error.message).toMatch(message);
    }
    expect(await failure(fileSource(JSON.parse('5')))).toMatchObject({ argument: 'path' });
  });

  it.skipIf(process.getuid?.() === 0)(
    'refuses an unreadable file (root can read everything: not run as root)',
    async () => {
      const path = await file();
      await chmod(path, 0);
      const error = await failure(fileSource(path));
      expect(error.message).toMatch(/permission denied/);
    },
  );

  it.each<[string, (path: string) => Promise<unknown>]>([
    ['shrinks', (path) => truncate(path, 700_000)],
    ['grows', (path) => appendFile(path, 'x')],
    ['is emptied', (path) => truncate(path, 0)],
    [
      'is written without changing its size',
      async (path) => {
        await writeFile(path, pattern(bytes.length, 9));
        await utimes(path, 1, 1);
      },
    ],
    [
      'is rewritten, with the time of its last write put back,',
      async (path) => {
        await writeFile(path, pattern(bytes.length, 9));
        await utimes(path, 1000, 1000);
      },
    ],
    [
      'is replaced',
      async (path) => {
        await writeFile(`${path}.new`, bytes);
        await rename(`${path}.new`, path);
      },
    ],
    ['is removed', (path) => rm(path)],
  ])('[IV-006] finds a file that %s while it is read', async (_name, change) => {
    const path = await file();
    await utimes(path, 1000, 1000);
    const source = await fileSource(path);
    let chunks = 0;
    const reading = (async () => {
      for await (const _chunk of source.stream({ chunkBytes: 100_000 }))
        if (++chunks === 2) await change(path);
    })();
    expect(await failure(reading)).toMatchObject({ code: 'SOURCE_MISMATCH' });
    expect(await failure(source.unchanged())).toMatchObject({ code: 'SOURCE_MISMATCH' });
    await source.close();
  });

  it('is aborted between chunks, and its reads are over when the stream is', async () => {
    const source = await fileSource(await file());
    const aborting = new AbortController();
    const reading = (async () => {
      for await (const _chunk of source.stream({ chunkBytes: 1000, signal: aborting.signal }))
        aborting.abort();
    })();
    expect(await failure(reading)).toMatchObject({ code: 'ABORTED' });
    for await (const _chunk of source.stream({ chunkBytes: 1000 })) break;
    await source.close();
  });
});
