import { beforeEach, describe, expect, it } from 'vitest';
import { type Source, urlSource } from '../../../src/source/index.js';
import { xorshiftBytes } from '../../support/xorshift.js';

const WEIGHTS = xorshiftBytes(23, 3_000_000);

/** What a server does with one request for bytes; those that are not listed are answered whole. */
interface Answer {
  /** Bytes of the body after which the connection breaks. */
  readonly breaksAfter?: number;
  readonly status?: number;
  /** Ranges are not looked at. */
  readonly whole?: boolean;
  readonly etag?: string;
  readonly contentRange?: string;
}

const URL_OF_WEIGHTS = 'https://models.example/weights.bin';
const PIECE_BYTES = 5_000;

describe('a download that breaks off', () => {
  let answers: Answer[];
  /** The range of each request for bytes; null: all of them. */
  let ranges: (string | null)[];

  beforeEach(() => {
    answers = [];
    ranges = [];
  });

  const server = (async (_url: URL, { method, headers }: RequestInit): Promise<Response> => {
    const asked = new Headers(headers).get('range');
    const head = method === 'HEAD';
    const { status, whole, etag = '"v1"', breaksAfter, contentRange } = head ? {} : (answers.shift() ?? {});
    if (!head) ranges.push(asked);
    if (status !== undefined) return new Response(null, { status });
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec((whole !== true && asked) || '') ?? [];
    const end = last ? Number(last) + 1 : WEIGHTS.length;
    const part = first === undefined ? WEIGHTS : WEIGHTS.subarray(Number(first), end);
    const range = contentRange ?? `bytes ${first}-${end - 1}/${WEIGHTS.length}`;
    return new Response(head ? null : body(part, breaksAfter), {
      status: first === undefined ? 200 : 206,
      headers: {
        'content-length': String(part.length),
        etag,
        ...(first === undefined ? {} : { 'content-range': range }),
      },
    });
  }) as typeof fetch;

  /** What was read of it before it breaks has arrived: nothing here depends on how fast a network is. */
  function body(part: Uint8Array, breaksAfter = Number.POSITIVE_INFINITY): ReadableStream<Uint8Array> {
    let at = 0;
    return new ReadableStream({
      pull: (controller) => {
        if (at >= breaksAfter) controller.error(new TypeError('terminated'));
        else if (at >= part.length) controller.close();
        else controller.enqueue(part.slice(at, at + PIECE_BYTES));
        at += PIECE_BYTES;
      },
    });
  }

  function open(options: { retries?: number } = {}): Promise<Source> {
    return urlSource(URL_OF_WEIGHTS, { ...options, fetch: server });
  }

  async function all(source: Source, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = new Uint8Array(source.byteLength);
    let offset = 0;
    for await (const chunk of source.stream({ chunkBytes: 65_536, signal })) {
      bytes.set(chunk, offset);
      offset += chunk.length;
    }
    return bytes;
  }

  async function refused(work: Promise<unknown>, code: string): Promise<void> {
    await expect(work).rejects.toMatchObject({ code });
  }

  it('goes on where it broke off, and brings the same bytes', async () => {
    answers = [{ breaksAfter: 500_000 }, { breaksAfter: 100_000 }];
    const source = await open({ retries: 2 });
    expect(Buffer.compare(await all(source), WEIGHTS)).toBe(0);
    expect(ranges).toEqual([null, 'bytes=500000-', 'bytes=600000-']);
  });

  it('starts over where the server has no ranges, without giving a byte twice', async () => {
    answers = [{ breaksAfter: 500_000 }, { whole: true }];
    const source = await open({ retries: 1 });
    expect(Buffer.compare(await all(source), WEIGHTS)).toBe(0);
    expect(ranges).toHaveLength(2);
  });

  it('is not asked for again by default', async () => {
    answers = [{ breaksAfter: 500_000 }];
    await refused(all(await open()), 'SOURCE_MISMATCH');
    expect(ranges).toHaveLength(1);
  });

  it('is refused after so many attempts in a row that bring little', async () => {
    answers = [{ breaksAfter: 10_000 }, { breaksAfter: 10_000 }, { breaksAfter: 10_000 }];
    await refused(all(await open({ retries: 2 })), 'SOURCE_MISMATCH');
    expect(ranges).toHaveLength(3);
  });

  it('counts from the beginning after an attempt that brought 1 MiB', async () => {
    answers = [{ breaksAfter: 10_000 }, { breaksAfter: 1_500_000 }];
    const source = await open({ retries: 1 });
    expect(Buffer.compare(await all(source), WEIGHTS)).toBe(0);
    expect(ranges).toHaveLength(3);
  });

  it('is refused if the resource is another one meanwhile, and if another range comes', async () => {
    answers = [{ breaksAfter: 10_000 }, { etag: '"v2"' }];
    await refused(all(await open({ retries: 9 })), 'SOURCE_MISMATCH');
    expect(ranges).toHaveLength(2);
    answers = [{ breaksAfter: 10_000 }, { contentRange: `bytes 0-2999999/3000000` }];
    ranges = [];
    await refused(all(await open({ retries: 9 })), 'SOURCE_MISMATCH');
    expect(ranges).toHaveLength(2);
  });

  it('is asked for again after a fault of the server, and not after a refusal', async () => {
    answers = [{ status: 503 }];
    const source = await open({ retries: 1 });
    expect(Buffer.compare(await all(source), WEIGHTS)).toBe(0);
    answers = [{ status: 403 }];
    ranges = [];
    await refused(all(source), 'SOURCE_MISMATCH');
    expect(ranges).toHaveLength(1);
  });

  it('resumes a range as well', async () => {
    answers = [{ breaksAfter: 10_000 }];
    const source = await open({ retries: 1 });
    const bytes = await source.readRange?.(1_000, 100_000);
    expect(Buffer.compare(bytes ?? new Uint8Array(), WEIGHTS.subarray(1_000, 101_000))).toBe(0);
    expect(ranges).toEqual(['bytes=1000-100999', 'bytes=11000-100999']);
  });

  it('does not wait any longer once the caller has given up', async () => {
    answers = Array.from({ length: 20 }, () => ({ breaksAfter: 10 }));
    const source = await open({ retries: 20 });
    const stop = new AbortController();
    const reading = all(source, stop.signal);
    setTimeout(() => stop.abort(), 50);
    await refused(reading, 'ABORTED');
    expect(ranges.length).toBeLessThan(5);
  });

  it.each([-1, 101, 1.5])('refuses %s as the number of retries', async (retries) => {
    await refused(open({ retries }), 'INVALID_INPUT');
  });
});
