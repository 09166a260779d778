import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { Source } from '../../../src/source/types.js';
import { urlSource } from '../../../src/source/url.js';
import { failure, openHost, pattern, regionsOf } from '../manager/fixture.js';

const STALL_MS = 20;
const BYTES = pattern(5000);

/** What a server does with each kind of request; the rest hangs. */
type Kind = 'HEAD' | 'GET' | 'range';

/** A server in this process: what it answers comes at once, so that only what hangs takes time. */
class Server {
  hangs: Kind | null = null;
  /** Bytes of a body before it falls silent; all of them if not told. */
  drops = Number.POSITIVE_INFINITY;
  cancelled = 0;
  signals: AbortSignal[] = [];
  asked: Kind[] = [];
  #late: () => void = () => undefined;

  readonly fetch = ((_url: URL, init: RequestInit): Promise<Response> => {
    const range = /^bytes=(\d+)-(\d+)$/.exec(new Headers(init.headers).get('range') ?? '');
    const kind = init.method === 'HEAD' ? 'HEAD' : range === null ? 'GET' : 'range';
    this.asked.push(kind);
    if (init.signal != null) this.signals.push(init.signal);
    const part = range === null ? BYTES : BYTES.subarray(Number(range[1]), Number(range[2]) + 1);
    const answer = (): Response =>
      new Response(kind === 'HEAD' ? null : this.#body(part), {
        status: range === null ? 200 : 206,
        headers: { 'content-length': `${part.length}` },
      });
    if (this.hangs !== kind) return Promise.resolve(answer());
    return new Promise((resolve) => {
      this.#late = () => resolve(answer());
    });
  }) as typeof fetch;

  answerLate(): void {
    this.#late();
  }

  #body(part: Uint8Array): ReadableStream<Uint8Array> {
    return new ReadableStream({
      start: (controller) => {
        controller.enqueue(part.slice(0, this.drops));
        if (this.drops >= part.length) controller.close();
      },
      cancel: () => void this.cancelled++,
    });
  }
}

async function readAll(source: Source, signal?: AbortSignal): Promise<number> {
  let bytes = 0;
  for await (const chunk of source.stream({ chunkBytes: 65_536, signal })) bytes += chunk.length;
  return bytes;
}

/** Each call into a source that goes to the server, with what may hang on the way. */
const CALLS: readonly (readonly [
  string,
  Kind,
  (source: Source, signal?: AbortSignal) => Promise<unknown>,
])[] = [
  ['unchanged', 'HEAD', (source, signal) => source.unchanged({ signal })],
  ['stream', 'GET', readAll],
  ['readRange', 'range', async (source, signal) => await source.readRange?.(10, 100, { signal })],
];

const STALLED = {
  code: 'SOURCE_MISMATCH',
  message: expect.stringContaining(`nothing came for ${STALL_MS} ms`),
};

describe('a server that does not answer', () => {
  it('ends the opening', async () => {
    const server = new Server();
    server.hangs = 'HEAD';
    const opening = urlSource('http://server/w', { fetch: server.fetch, stallMs: STALL_MS });
    expect(await failure(opening)).toMatchObject(STALLED);
    expect(server.signals.map(({ aborted }) => aborted)).toEqual([true]);
  });

  it.each(CALLS)('ends %s, and a late answer is let go', async (_name, kind, call) => {
    const server = new Server();
    const source = await urlSource('http://server/w', { fetch: server.fetch, stallMs: STALL_MS });
    server.hangs = kind;
    expect(await failure(call(source))).toMatchObject(STALLED);
    expect(server.signals.at(-1)?.aborted).toBe(true);
    server.drops = 1;
    server.answerLate();
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(server.cancelled).toBe(kind === 'HEAD' ? 0 : 1);
  });

  it.each(CALLS)('is not waited for by %s when its signal fires', async (_name, kind, call) => {
    const server = new Server();
    const source = await urlSource('http://server/w', { fetch: server.fetch });
    server.hangs = kind;
    const aborting = new AbortController();
    const failed = failure(call(source, aborting.signal));
    aborting.abort();
    expect(await failed).toMatchObject({ code: 'ABORTED' });
    // Afterwards nothing is asked at all.
    const asked = server.asked.length;
    expect(await failure(call(source, aborting.signal))).toMatchObject({ code: 'ABORTED' });
    expect(server.asked).toHaveLength(asked);
  });
});

describe('a server that gives one byte and falls silent', () => {
  it.each(CALLS.slice(1))('ends %s, and the body is let go', async (_name, _kind, call) => {
    const server = new Server();
    const source = await urlSource('http://server/w', { fetch: server.fetch, stallMs: STALL_MS });
    server.drops = 1;
    expect(await failure(call(source))).toMatchObject(STALLED);
    expect(server.cancelled).toBe(1);
    const aborting = new AbortController();
    const failed = failure(
      call(await urlSource('http://server/w', { fetch: server.fetch }), aborting.signal),
    );
    aborting.abort();
    expect(await failed).toMatchObject({ code: 'ABORTED' });
  });

  it('over HTTP: heal gives up with its caller, and the connection is closed', async () => {
    let closed = 0;
    let silent = (): void => undefined;
    const reached = new Promise<void>((resolve) => {
      silent = resolve;
    });
    const server = createServer((request, response) => {
      if (request.headers.range === undefined) {
        response.writeHead(200, { 'content-length': BYTES.length }).end();
        return;
      }
      response.on('close', () => closed++);
      response.writeHead(206, { 'content-length': BYTES.length });
      response.write(BYTES.subarray(0, 1), silent);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const source = await urlSource(`http://127.0.0.1:${port}/w`);
    const seen = regionsOf();
    const { manager } = await openHost({ wrap: seen.wrap });
    const shard = await manager.seal({ ...source, stream: streamOf });
    await seen.flip(0, 1, 1);
    const aborting = new AbortController();
    const healing = failure(manager.heal(shard, source, { signal: aborting.signal }));
    await reached;
    aborting.abort();
    expect(await healing).toMatchObject({ code: 'ABORTED' });
    while (closed === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await manager.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
});

describe('stallMs', () => {
  it.each([0, 1.5, 2 ** 31])('is not %s', async (stallMs) => {
    const { fetch } = new Server();
    expect(await failure(urlSource('http://server/w', { fetch, stallMs }))).toMatchObject({
      argument: 'stallMs',
    });
  });
});

async function* streamOf(): AsyncGenerator<Uint8Array> {
  yield BYTES;
}
