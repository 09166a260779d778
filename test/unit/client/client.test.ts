import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener, request } from 'node:http';
import { connect, createServer as createPlainServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExecuteRequest, ExecutionEvent, WorkerEvent } from '../../../src/api-schema/index.js';
import { systemClock } from '../../../src/base/index.js';
import { WorkerClient, type WorkerClientOptions, WorkerError } from '../../../src/client/index.js';
import { Admission, listen, Tokens, workerApp } from '../../../src/worker/http/index.js';
import { MIB, type Rig, rig } from '../worker/fixture.js';

const ends: (() => Promise<unknown> | unknown)[] = [];
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vram-client-'));
  ends.push(() => rm(folder, { recursive: true }));
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A worker over the host device that answers on a socket. */
async function served(
  options: Parameters<typeof rig>[0] = {},
): Promise<Rig & { readonly socket: string; stop(): Promise<void> }> {
  const made = await rig(options, { drills: true });
  const socket = join(folder, 'worker.sock');
  const tokens = await Tokens.open({}, () => systemClock.monotonic());
  const admission = new Admission({ tokens, hosts: null, clock: systemClock });
  const app = workerApp({
    worker: made.worker,
    admission,
    clock: systemClock,
    onUnforeseen: () => undefined,
  });
  const listener = await listen({ socket, trustOwner: null }, app);
  let stopped: Promise<void> | null = null;
  const stop = (): Promise<void> => {
    stopped ??= (async () => {
      await made[Symbol.asyncDispose]();
      await listener.close();
    })();
    return stopped;
  };
  ends.push(stop);
  return { ...made, socket, stop };
}

/**
 * A socket in front of another one; `cut` says after how many bytes of an answer a connection is dropped, and null that it
 * is not.
 */
async function droppingProxy(socket: string, cut: (connection: number) => number | null): Promise<string> {
  const path = join(folder, `proxy-${randomBytes(4).toString('hex')}.sock`);
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createPlainServer((near) => {
    const limit = cut(connections++);
    const far = connect(socket);
    for (const one of [near, far]) {
      sockets.add(one);
      one.on('error', () => undefined);
      one.on('close', () => {
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far);
    let passed = 0;
    far.on('data', (chunk: Buffer) => {
      const left = limit === null ? chunk.length : Math.max(0, limit - passed);
      passed += chunk.length;
      near.write(chunk.subarray(0, left), () => {
        if (left < chunk.length) near.destroy();
      });
    });
  });
  server.listen(path);
  await once(server, 'listening');
  ends.push(() => {
    for (const one of sockets) one.destroy();
    server.close();
  });
  return path;
}

/** Somebody else's server. */
async function other(handler: RequestListener): Promise<WorkerClientOptions> {
  const server = createServer(handler);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return { url: `http://127.0.0.1:${address.port}` };
}

async function ready(client: WorkerClient, name: string): Promise<void> {
  await expect.poll(async () => (await client.model(name)).state, { timeout: 10_000 }).toBe('ready');
}

describe('a client', () => {
  it('plans, commits, verifies, damages, heals, removes and drains', async () => {
    const { socket, write, worker } = await served();
    const client = new WorkerClient({ socket });
    const path = await write('weights.bin', 2 * MIB);
    const plan = await client.plan({ model: { path } });
    expect(plan).toMatchObject({ feasible: true, instance: worker.instance });
    const { reservationId } = plan;
    const committed = await client.commit({ name: 'one', path, reservationId: reservationId ?? undefined });
    expect(committed).toMatchObject({ name: 'one', generation: 1 });
    await ready(client, 'one');
    expect((await client.models()).map(({ name }) => name)).toEqual(['one']);
    expect(await client.verify('one')).toMatchObject({ ok: true });
    const { blocks } = await client.drill('one', { seed: 1, flips: 2 });
    expect(await client.verify('one')).toMatchObject({ ok: false });
    expect(await client.heal('one')).toMatchObject({ ok: true, shards: [{ blocks: blocks.length }] });
    await client.remove('one');
    await expect(client.model('one')).rejects.toMatchObject({
      code: 'NOT_FOUND',
      status: 404,
      retriable: false,
    });
    expect(await client.drain()).toMatchObject({ state: 'draining' });
    await expect(client.commit({ name: 'two', path })).rejects.toMatchObject({ code: 'STOPPED' });
  });

  it('commits once over connections that drop after the worker has heard', async () => {
    const { socket, write, worker, events } = await served();
    const client = new WorkerClient({ socket: await droppingProxy(socket, (nth) => (nth < 2 ? 0 : null)) });
    const path = await write('weights.bin', MIB);
    expect(await client.commit({ name: 'one', path })).toMatchObject({ generation: 1 });
    await ready(client, 'one');
    expect(worker.models()).toHaveLength(1);
    expect((await events()).filter(({ type }) => type === 'model.loading')).toHaveLength(1);
  });

  it('makes no change in another run of the worker than it was for', async () => {
    const first = await served();
    const client = new WorkerClient({ socket: first.socket });
    await client.drain({ keep: true });
    await first.stop();
    const second = await served();
    const path = await second.write('weights.bin', MIB);
    await expect(client.commit({ name: 'one', path })).rejects.toMatchObject({
      code: 'WORKER_LOST',
      retriable: false,
    });
    expect(second.worker.models()).toEqual([]);
    // From then on it is for the run that answers.
    expect(await client.commit({ name: 'one', path })).toMatchObject({ generation: 1 });
  });

  it('gives up on a worker that never lets an answer through, and asks for no plan twice', async () => {
    const { socket, worker } = await served();
    let asked = 0;
    const dropping = await droppingProxy(socket, () => {
      asked++;
      return 0;
    });
    const client = new WorkerClient({ socket: dropping });
    await expect(client.status()).rejects.toMatchObject({ code: 'WORKER_LOST', retriable: true });
    expect(asked).toBe(4);
    await expect(client.plan({ byteLength: 4096 })).rejects.toMatchObject({ code: 'WORKER_LOST' });
    expect(asked).toBe(5);
    expect((await worker.status()).reservations).toBe(1);
  });

  it('tells each event once and in order, over connections that drop in the middle of one', async () => {
    const { socket, write, worker } = await served();
    const path = await write('weights.bin', MIB);
    const proxy = await droppingProxy(socket, (nth) => (nth === 0 ? null : 300 + 151 * nth));
    const client = new WorkerClient({ socket: proxy });
    for (const name of ['a', 'b', 'c', 'd']) await worker.commit({ name, path });
    await expect.poll(() => worker.models().every(({ state }) => state === 'ready')).toBe(true);
    const seen: WorkerEvent[] = [];
    for await (const event of client.events({ after: 0 })) {
      seen.push(event);
      if (event.id === worker.events.lastId) break;
    }
    expect(seen.map(({ id }) => id)).toEqual(seen.map((_, index) => index + 1));
  });

  it('is told of another run of the worker, whose events begin anew', async () => {
    const first = await served();
    const client = new WorkerClient({ socket: first.socket });
    const events = client.events({ after: 0 });
    await first.worker.commit({ name: 'a', path: await first.write('weights.bin', MIB) });
    expect((await events.next()).value).toMatchObject({ id: 1 });
    const rest = (async () => {
      for await (const event of events) expect(event.id).toBeGreaterThan(1);
    })();
    await first.stop();
    await served();
    await expect(rest).rejects.toMatchObject({
      code: 'WORKER_LOST',
      message: expect.stringContaining('another run'),
    });
  });

  it('ends its calls and its events with the signal', async () => {
    const { socket } = await served();
    const client = new WorkerClient({ socket });
    await expect(client.status({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' });
    const ending = new AbortController();
    const events = (async () => {
      for await (const event of client.events({ signal: ending.signal })) throw new Error(event.type);
    })();
    setTimeout(() => ending.abort(), 100);
    await events;
    const slow = new WorkerClient(await other(() => undefined));
    const asked = slow.status({ signal: AbortSignal.timeout(100) });
    await expect(asked).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('ends in order where the signal fires between two events', async () => {
    const { socket, worker, write } = await served();
    const client = new WorkerClient({ socket });
    const ending = new AbortController();
    const events = client.events({ after: 0, signal: ending.signal });
    await worker.commit({ name: 'a', path: await write('weights.bin', MIB) });
    expect((await events.next()).value).toMatchObject({ id: 1 });
    ending.abort();
    // The connection ends while nobody reads from it.
    await new Promise((done) => setTimeout(done, 50));
    expect(await events.next()).toMatchObject({ done: expect.any(Boolean) });
    await events.return();
  });

  it('shows its token to the worker, and in no error', async () => {
    let shown: string | undefined;
    const address = await other((request, response) => {
      shown = request.headers.authorization;
      response.writeHead(401, { 'content-type': 'application/problem+json' });
      const problem = { type: 'about:blank', title: 't', status: 401, detail: 'no', code: 'AUTH_FAILED' };
      response.end(JSON.stringify({ ...problem, retriable: false, retryAfterMs: null, argument: null }));
    });
    const client = new WorkerClient({ ...address, token: 'a-token-of-thirty-two-characters' });
    const error: unknown = await client.status().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkerError);
    expect(error).toMatchObject({ code: 'AUTH_FAILED', status: 401 });
    expect(shown).toBe('Bearer a-token-of-thirty-two-characters');
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('a-token');
  });
});

describe('an execution', () => {
  const TENSOR = {
    ...{ name: 'w', dtype: 'F32', shape: [2], byteLength: 8 },
    fsverity: `fsverity-sha256-12:${'a'.repeat(64)}`,
  };

  /** A worker that relays to an engine in this process, which a guard says to be sound. */
  async function withEngine(answer: string) {
    const { url } = (await other((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(answer);
    })) as { readonly url: string };
    const address = { host: '127.0.0.1' as const, port: Number(new URL(url).port) };
    const { socket } = await served({
      engines: [{ model: 'm', address, weights: 'guarded', atOnce: 1 }],
    });
    const manifest = { v: 1, files: [], packed: null, tensors: [TENSOR] };
    const guard = await post(socket, '/v1/guards', { model: 'm', pid: process.pid, client: 'e', manifest });
    await post(socket, `/v1/guards/${guard.guardId}/reports`, {
      ...{ v: 1, type: 'guard.report', operation: 'verify', outcome: 'clean', against: 'manifest' },
      ...{ tensors: 1, byte_length: 8, damaged_blocks: 0, elapsed_ms: 1, message: null },
      at: new Date().toISOString(),
    });
    return socket;
  }

  async function post(socket: string, path: string, body: unknown) {
    const headers = { 'content-type': 'application/json' };
    const call = request({ socketPath: socket, path, method: 'POST', headers });
    call.end(JSON.stringify(body));
    const [response] = await once(call, 'response');
    let text = '';
    for await (const chunk of response) text += chunk;
    return JSON.parse(text);
  }

  const asked = (executionId: string): ExecuteRequest => ({
    ...{ executionId, mode: 'engine', model: 'm', maxAgeMs: 60_000 },
    inputs: { path: '/v1/completions', body: { stream: true } },
  });

  it('is asked for once, and each of its events comes once, over connections that drop', async () => {
    const socket = await withEngine('data: one\n\ndata: two\n\ndata: [DONE]\n\n');
    const dropping = await droppingProxy(socket, (nth) =>
      nth === 0 ? 0 : nth === 2 ? null : 400 + 50 * nth,
    );
    const client = new WorkerClient({ socket: dropping });
    expect(await client.execute(asked('one'))).toMatchObject({ executionId: 'one', model: 'm' });
    const seen: ExecutionEvent[] = [];
    for await (const event of client.executionEvents('one')) seen.push(event);
    expect(seen.map(({ id }) => id)).toEqual(seen.map((_, index) => index + 1));
    expect(seen.map(({ type }) => type)).toEqual(['started', 'output', 'output', 'output', 'metrics', 'end']);
    const whole = new WorkerClient({ socket });
    expect((await whole.execution('one')).terminal).toMatchObject({
      type: 'end',
      data: { weights: 'guarded' },
    });
    // It has ended: nothing is left to cancel.
    expect((await whole.cancel('one')).terminal).toMatchObject({ type: 'end' });
    await expect(whole.execution('two')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('what is not a worker', () => {
  it.each<[string, RequestListener]>([
    ['a page', (_, response) => response.end('<!doctype html>')],
    ['another API', (_, response) => response.end('{"hello":1}')],
    ['nothing', (_, response) => response.end()],
    ['an error of its own', (_, response) => response.writeHead(500).end('{"error":"x"}')],
    ['a code that is none', (_, response) => response.writeHead(500).end('{"code":"toString","detail":"x"}')],
    ['a redirection', (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
    ['nested too deep', (_, response) => response.end('['.repeat(10_000) + ']'.repeat(10_000))],
    [
      'an answer without an end',
      (_, response) => {
        const more = (): void => {
          while (response.write(Buffer.alloc(2 ** 20, 32)));
        };
        response.on('drain', more);
        more();
      },
    ],
  ])('that answers %s is DEVICE_UNAVAILABLE', async (_, handler) => {
    const client = new WorkerClient(await other(handler));
    await expect(client.status()).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
  });

  it('that does not answer is given up in time', async () => {
    const client = new WorkerClient(await other(() => undefined));
    await expect(client.status({ timeoutMs: 100 })).rejects.toMatchObject({ code: 'DEADLINE_UNMET' });
  });

  it.each([
    ['an event without an end', `event: worker.state\ndata: ${'x'.repeat(3 * MIB)}`],
    ['many lines of one event', 'data: 1\n'.repeat(2 * MIB)],
    ['an event of another form', 'event: worker.state\ndata: {"id":"1"}\n\n'],
  ])('that sends %s is DEVICE_UNAVAILABLE', async (_, text) => {
    const status = JSON.stringify({
      ...{
        version: '1',
        workerId: 'w',
        instance: 'i',
        state: 'ready',
        reason: null,
        reservations: 0,
        executions: { queued: 0, running: 0 },
        share: null,
        lastEventId: 0,
        models: [],
      },
      device: { id: 'host', name: 'n', residency: 'host', execution: 'x' },
      capacity: { totalBytes: null, usedBytes: 0, reservedBytes: 0 },
    });
    const client = new WorkerClient(
      await other((request, response) => {
        if (request.url === '/v1/status') response.end(status);
        else response.writeHead(200, { 'content-type': 'text/event-stream' }).write(text);
      }),
    );
    await expect(client.events().next()).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringMatching(/^an event is /),
    });
  });

  it.each<[WorkerClientOptions, string]>([
    [{ socket: 'worker.sock' }, 'socket'],
    [{ url: 'ftp://host' }, 'url'],
    [{ url: 'http://user:secret@host' }, 'url'],
    [{ url: 'http://host/v1' }, 'url'],
    [{ url: 'nothing' }, 'url'],
    [{ url: 'http://worker.example:8077', token: 't' }, 'url'],
    [{ url: 'http://127.0.0.1.example:8077', token: 't' }, 'url'],
    [{ socket: '/s', token: 'two\nlines' }, 'token'],
  ])('%j is refused', (options, argument) => {
    expect(() => new WorkerClient(options)).toThrow(
      expect.objectContaining({ code: 'INVALID_INPUT', argument }),
    );
  });

  it.each(['http://localhost:1', 'http://127.1.2.3:1', 'http://[::1]:1', 'https://worker.example'])(
    'a token may go to %s',
    (url) => {
      expect(new WorkerClient({ url, token: 't' })).toBeInstanceOf(WorkerClient);
    },
  );

  it('names and numbers are checked before anybody is asked', async () => {
    const client = new WorkerClient({ socket: '/nobody' });
    await expect(client.model('../status')).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'name',
    });
    await expect(client.status({ timeoutMs: 0 })).rejects.toMatchObject({ argument: 'timeoutMs' });
    expect(() => client.events({ after: -1 })).toThrow(expect.objectContaining({ argument: 'after' }));
    expect(() => client.events({ model: 'a&b' })).toThrow(expect.objectContaining({ argument: 'name' }));
  });
});
