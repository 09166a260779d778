import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { VramManager } from '../../../src/index.js';
import type { Source } from '../../../src/source/types.js';
import { urlSource } from '../../../src/source/url.js';
import { xorshiftBytes } from '../../support/xorshift.js';

const WEIGHTS = xorshiftBytes(11, 300_000);

describe('urlSource', () => {
  let server: Server;
  let base: string;
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  let seen: IncomingMessage[];

  /** A plain file server with validators and ranges. */
  function serve(bytes: Uint8Array, etag = '"v1"'): typeof answer {
    return (request, response) => {
      const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
      const part = range === null ? bytes : bytes.subarray(Number(range[1]), Number(range[2]) + 1);
      response.writeHead(range === null ? 200 : 206, { 'content-length': part.length, etag });
      response.end(request.method === 'HEAD' ? undefined : part);
    };
  }

  beforeAll(async () => {
    server = createServer((request, response) => {
      seen.push(request);
      answer(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterAll(() => new Promise((resolve) => server.close(resolve)));

  beforeEach(() => {
    seen = [];
    answer = serve(WEIGHTS);
  });

  async function all(source: Source): Promise<Uint8Array> {
    const bytes = new Uint8Array(source.byteLength);
    let offset = 0;
    for await (const chunk of source.stream({ chunkBytes: 65_536 })) {
      expect(chunk.length).toBeLessThanOrEqual(65_536);
      bytes.set(chunk, offset);
      offset += chunk.length;
    }
    return bytes;
  }

  it('streams the bytes, reads ranges, and is sealed and healed from', async () => {
    const source = await urlSource(`${base}/models/weights.bin?token=secret`);
    expect(source.label).toBe('weights.bin');
    expect(source.byteLength).toBe(WEIGHTS.length);
    expect(Buffer.compare(await all(source), WEIGHTS)).toBe(0);
    expect(await source.readRange?.(4096, 100)).toEqual(WEIGHTS.slice(4096, 4196));
    const manager = await VramManager.open({ device: 'host', policy: 'any', workerId: 'w', drills: true });
    const shard = await manager.seal(source);
    await manager.drill(shard, { flips: 1, seed: 3 });
    await expect(manager.verify(shard)).rejects.toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect((await manager.heal(shard, source)).healedBlocks).toBe(1);
    await manager.close();
    await source.close();
    await expect(source.unchanged()).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  });

  it('sends the caller’s headers, and asks for no compression', async () => {
    await urlSource(`${base}/w`, { headers: { authorization: 'Bearer abc' } });
    expect(seen[0]?.headers).toMatchObject({ authorization: 'Bearer abc', 'accept-encoding': 'identity' });
  });

  it.each(['file:///etc/passwd', 'ftp://host/x', 'relative/path', 'http://user:pass@127.0.0.1/x', 'data:,x'])(
    'refuses %s',
    async (url) => {
      await expect(urlSource(url)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    },
  );

  it.each([
    ['a missing resource', (response: ServerResponse) => response.writeHead(404).end()],
    [
      'no length',
      (response: ServerResponse) => response.writeHead(200, { 'transfer-encoding': 'chunked' }).end(),
    ],
    [
      'a compressed one',
      (response: ServerResponse) =>
        response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': 5 }).end(),
    ],
  ])('refuses %s', async (_what, respond) => {
    answer = (_request, response) => void respond(response);
    await expect(urlSource(`${base}/w`)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  });

  describe('of a server that does not answer HEAD', () => {
    const byGet =
      (get: typeof answer): typeof answer =>
      (request, response) =>
        request.method === 'HEAD' ? void response.writeHead(403).end() : get(request, response);
    /** As object stores answer presigned URLs, which are signed for GET. */
    const presigned = (bytes: Uint8Array, etag = '"v1"'): typeof answer =>
      byGet((request, response) => {
        const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
        if (range === null) return serve(bytes, etag)(request, response);
        const [first, last] = [Number(range[1]), Number(range[2])];
        if (first >= bytes.length)
          return void response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
        const part = bytes.subarray(first, last + 1);
        const place = `bytes ${first}-${last}/${bytes.length}`;
        response.writeHead(206, { 'content-length': part.length, 'content-range': place, etag }).end(part);
      });

    it('asks for one byte, reads, heals and notices a change', async () => {
      answer = presigned(WEIGHTS);
      const source = await urlSource(`${base}/w?signature=secret`);
      expect(seen.map(({ method, headers }) => [method, headers.range])).toEqual([
        ['HEAD', undefined],
        ['GET', 'bytes=0-0'],
      ]);
      expect(source.byteLength).toBe(WEIGHTS.length);
      expect(Buffer.compare(await all(source), WEIGHTS)).toBe(0);
      expect(await source.readRange?.(4096, 100)).toEqual(WEIGHTS.slice(4096, 4196));
      seen = [];
      await source.unchanged();
      expect(seen.map(({ method }) => method)).toEqual(['GET']);
      answer = presigned(WEIGHTS, '"v2"');
      await expect(source.unchanged()).rejects.toMatchObject({ code: 'SOURCE_MISMATCH' });
    });

    it('opens an empty resource, of which no byte can be given', async () => {
      answer = presigned(new Uint8Array(0));
      expect((await urlSource(`${base}/w`)).byteLength).toBe(0);
    });

    it('takes the length of the whole where ranges are not served', async () => {
      answer = byGet((_request, response) => {
        response.writeHead(200, { 'content-length': WEIGHTS.length }).end(WEIGHTS);
      });
      expect((await urlSource(`${base}/w`)).byteLength).toBe(WEIGHTS.length);
    });

    it('asks so also where HEAD tells no length', async () => {
      answer = (request, response) =>
        request.method === 'HEAD'
          ? void response.writeHead(200, { 'transfer-encoding': 'chunked' }).end()
          : presigned(WEIGHTS)(request, response);
      expect((await urlSource(`${base}/w`)).byteLength).toBe(WEIGHTS.length);
    });

    it.each([
      ['another status', 404, {}, 'is answered with status 404'],
      ['a length that is not known', 206, { 'content-range': 'bytes 0-0/*' }, 'is served without a length'],
      ['another range', 206, { 'content-range': 'bytes 5-5/300' }, 'is served without a length'],
      ['a range beyond the end', 416, { 'content-range': 'bytes */300' }, 'is answered with status 416'],
      ['a length too large', 206, { 'content-range': 'bytes 0-0/9999999999999999' }, 'content-length'],
      [
        'compression',
        206,
        { 'content-range': 'bytes 0-0/300', 'content-encoding': 'gzip' },
        'is served compressed',
      ],
    ])('refuses %s', async (_what, status, headers, message) => {
      answer = byGet((_request, response) => void response.writeHead(status, headers).end());
      await expect(urlSource(`${base}/w`)).rejects.toMatchObject({
        code: 'INVALID_INPUT',
        message: expect.stringContaining(message),
      });
    });
  });

  it('[IV-006] finds a resource that changes: by its tag, when opened again and while read', async () => {
    const source = await urlSource(`${base}/w`);
    answer = serve(WEIGHTS, '"v2"');
    await expect(source.unchanged()).rejects.toMatchObject({ code: 'SOURCE_MISMATCH' });
    await expect(all(source)).rejects.toMatchObject({ code: 'SOURCE_MISMATCH' });
    await expect(source.readRange?.(0, 10)).rejects.toMatchObject({ code: 'SOURCE_MISMATCH' });
  });

  it.each([
    ['shorter', WEIGHTS.subarray(0, 1000)],
    ['longer', new Uint8Array(WEIGHTS.length + 1)],
  ])('[IV-006] finds a body that is %s than was said', async (_what, body) => {
    const source = await urlSource(`${base}/w`);
    answer = serve(body);
    await expect(all(source)).rejects.toMatchObject({ code: 'SOURCE_MISMATCH' });
  });

  it('finds a connection that breaks in the middle', async () => {
    const source = await urlSource(`${base}/w`);
    answer = (_request, response) => {
      response.writeHead(200, { 'content-length': WEIGHTS.length, etag: '"v1"' });
      response.write(WEIGHTS.subarray(0, 5000), () => response.destroy());
    };
    const manager = await VramManager.open({ device: 'host', policy: 'any', workerId: 'w' });
    await expect(manager.seal(source)).rejects.toMatchObject({ code: 'SOURCE_MISMATCH' });
    expect((await manager.capacity()).usedBytes).toBe(0);
    await manager.close();
  });

  it('cannot heal from a server that ignores ranges', async () => {
    const source = await urlSource(`${base}/w`);
    answer = (_request, response) => {
      response.writeHead(200, { 'content-length': WEIGHTS.length, etag: '"v1"' }).end(WEIGHTS);
    };
    await expect(source.readRange?.(0, 10)).rejects.toMatchObject({
      code: 'SOURCE_MISMATCH',
      message: expect.stringContaining('ranges'),
    });
  });

  it('[CI-006] never repeats a URL’s query in an error', async () => {
    const error: unknown = await urlSource('http://127.0.0.1:1/w?token=hunter2').catch(
      (reason: unknown) => reason,
    );
    expect(String(error)).not.toContain('hunter2');
    expect(error).toMatchObject({ code: 'SOURCE_MISMATCH' });
    expect(error instanceof Error && error.cause).toBeFalsy();
  });

  it('ends with ABORTED when its signal fires', async () => {
    const controller = new AbortController();
    answer = () => controller.abort();
    await expect(urlSource(`${base}/w`, { signal: controller.signal })).rejects.toMatchObject({
      code: 'ABORTED',
    });
  });
});
