import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { executeRequest } from '../../../src/worker/http/schemas.js';
import { type Answer, bench, gate, stream, types } from './engine-bench.js';
import { MIB } from './fixture.js';

describe('an engine that holds a lease', () => {
  it('is asked over weights that were verified first, and its stream is passed on event by event', async () => {
    const { submit, eventsOf, worker } = await bench((response, body, path) => {
      expect(path).toBe('/v1/chat/completions');
      expect(JSON.parse(body)).toEqual({ stream: true });
      stream(response, body, path);
    });
    const id = await submit({ recheck: true });
    const events = await eventsOf(id);
    expect(types(events)).toEqual(['started', 'output', 'output', 'output', 'metrics', 'end']);
    expect(events.slice(1, 4).map(({ data }) => data)).toEqual([
      { event: null, text: '{"a":1}' },
      { event: null, text: 'one\ntwo' },
      { event: 'done', text: '[DONE]' },
    ]);
    const [shard] = worker.model('m').shards;
    expect(events.at(-1)).toMatchObject({
      data: { weights: 'leased', verified: [{ shardId: shard?.shardId, fsverity: shard?.fsverity }] },
    });
    expect(await eventsOf(id, 4)).toEqual(events.slice(4));
    expect(worker.executions.get(id).view()).toMatchObject({ state: 'ended', weights: 'leased' });
  });

  it('is not verified again where maxAgeMs allows that', async () => {
    const { submit, eventsOf } = await bench(stream);
    expect((await eventsOf(await submit({ maxAgeMs: 60_000 }))).at(-1)).toMatchObject({
      data: { verified: [] },
    });
  });

  it('[WO-004] is not asked where another process listens in its place', async () => {
    const asked: string[] = [];
    const { submit, eventsOf } = await bench(
      (_, body) => void asked.push(body),
      {},
      { holder: process.ppid },
    );
    const events = await eventsOf(await submit());
    expect(types(events)).toEqual(['error']);
    expect(events[0]).toMatchObject({ data: { code: 'DEVICE_UNAVAILABLE', retriable: true } });
    expect(asked).toEqual([]);
  });

  it('[WO-004] is not asked over damaged weights', async () => {
    const { submit, eventsOf, worker } = await bench(stream);
    await worker.drill('m', {});
    expect(await eventsOf(await submit())).toMatchObject([
      { type: 'error', data: { code: 'INTEGRITY_VIOLATION' } },
    ]);
  });

  it('[WO-004] gives no result where damage is found while it answers', async () => {
    const begun = gate();
    const { submit, eventsOf, worker, damage } = await bench((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: x\n\n');
      begun.open();
    });
    const id = await submit();
    await begun.opened;
    await damage();
    expect((await worker.verify('m')).ok).toBe(false);
    expect((await eventsOf(id)).at(-1)).toMatchObject({
      type: 'error',
      data: { code: 'INTEGRITY_VIOLATION' },
    });
  });

  it.each([
    ['refuses the request', 400, 'INVALID_INPUT'],
    ['fails', 500, 'DEVICE_UNAVAILABLE'],
    ['is busy', 429, 'DEVICE_UNAVAILABLE'],
  ])('that %s is told of with what it said', async (_, status, code) => {
    const { submit, eventsOf } = await bench((response) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end('{"error":"why"}');
    });
    const events = await eventsOf(await submit());
    expect(types(events)).toEqual(['started', 'output', 'error']);
    expect(events[1]).toMatchObject({ data: { text: '{"error":"why"}' } });
    expect(events[2]).toMatchObject({ data: { code } });
  });

  it('that dies in the middle leaves what it had said, and an error', async () => {
    const { submit, eventsOf } = await bench((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: x\n\n', () => void response.destroy());
    });
    const events = await eventsOf(await submit());
    expect(types(events)).toEqual(['started', 'output', 'error']);
    expect(events[2]).toMatchObject({ data: { code: 'DEVICE_UNAVAILABLE' } });
  });

  it('that sends an endless event is given up', async () => {
    const { submit, eventsOf } = await bench((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(`data: ${'x'.repeat(200_000)}`);
    });
    expect(types(await eventsOf(await submit()))).toEqual(['started', 'error']);
  });

  it('whose answer is not a stream comes in pieces that fit into an event', async () => {
    const text = '\u0001é'.repeat(100_000);
    const { submit, eventsOf } = await bench((response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(text);
    });
    const events = await eventsOf(await submit());
    const outputs = events.filter((event) => event.type === 'output');
    expect(outputs.map(({ data }) => ('text' in data ? data.text : '')).join('')).toBe(text);
    for (const event of outputs) expect(JSON.stringify(event).length).toBeLessThan(MIB);
  });
});

describe('an execution', () => {
  /** An engine that answers when it is told to. */
  function slow(): { readonly answer: Answer; readonly asked: ServerResponse[] } {
    const asked: ServerResponse[] = [];
    return { asked, answer: (response) => void asked.push(response) };
  }
  const done = (response: ServerResponse | undefined): void => void response?.end('{}');

  it("[WO-003] is executed once, however often it is sent, and its id is no other request's", async () => {
    const { asked, answer } = slow();
    const { submit, eventsOf, worker } = await bench(answer);
    const id = await submit({ executionId: 'mine' });
    await submit({ executionId: 'mine' });
    await expect.poll(() => asked.length).toBe(1);
    await expect(submit({ executionId: 'mine', maxAgeMs: 1 })).rejects.toMatchObject({ status: 409 });
    done(asked[0]);
    expect((await eventsOf(id)).at(-1)?.type).toBe('end');
    await submit({ executionId: 'mine' });
    expect(asked).toHaveLength(1);
    expect(worker.executions.counts).toEqual({ queued: 0, running: 0 });
  });

  it('waits for its turn; a queue that is full refuses, and makes the worker unready', async () => {
    const { asked, answer } = slow();
    const { submit, worker, eventsOf } = await bench(answer, { mostQueued: 2 });
    const ids = [await submit(), await submit(), await submit()];
    expect(worker.executions.counts.queued).toBe(3);
    await expect(submit()).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    expect(worker.readiness()).toMatchObject({ state: 'ready', ready: false });
    for (let index = 0; index < ids.length; index++) {
      await expect.poll(() => asked.length).toBe(index + 1);
      done(asked[index]);
    }
    for (const id of ids) expect((await eventsOf(id)).at(-1)?.type).toBe('end');
    expect(worker.readiness().ready).toBe(true);
  });

  it('is cancelled at once, queued or running, and as often as one likes', async () => {
    const { asked, answer } = slow();
    const { submit, worker, eventsOf } = await bench(answer);
    const [running, queued] = [await submit(), await submit()];
    await expect.poll(() => asked.length).toBe(1);
    for (const id of [queued, running, running]) {
      expect(worker.executions.cancel(id)).toMatchObject({
        state: 'ended',
        terminal: { data: { code: 'ABORTED' } },
      });
    }
    expect(types(await eventsOf(running))).toEqual(['started', 'error']);
    expect(types(await eventsOf(queued))).toEqual(['error']);
    await worker.executions.idle();
    // The engine was hung up on.
    await expect.poll(() => asked[0]?.destroyed).toBe(true);
    expect(asked).toHaveLength(1);
  });

  it('ends at its deadline, also while it waits', async () => {
    const { answer } = slow();
    const { submit, eventsOf } = await bench(answer);
    const ids = [await submit({ deadlineMs: 300 }), await submit({ deadlineMs: 100 })];
    for (const id of ids) {
      expect((await eventsOf(id)).at(-1)).toMatchObject({ type: 'error', data: { code: 'DEADLINE_UNMET' } });
    }
  });

  it('of a worker that is drained ends when the wait is over, and no other is accepted', async () => {
    const { asked, answer } = slow();
    const { submit, worker, eventsOf } = await bench(answer, { drainMs: 50 });
    const id = await submit();
    await expect.poll(() => asked.length).toBe(1);
    const draining = worker.drain();
    await expect(submit()).rejects.toMatchObject({ code: 'STOPPED' });
    await draining;
    expect((await eventsOf(id)).at(-1)).toMatchObject({ type: 'error', data: { code: 'STOPPED' } });
  });

  it('of a model that is deleted meanwhile goes on to its end', async () => {
    const { asked, answer } = slow();
    const { submit, worker, eventsOf } = await bench(answer);
    const id = await submit();
    await expect.poll(() => asked.length).toBe(1);
    const removed = worker.remove('m');
    done(asked[0]);
    await removed;
    expect((await eventsOf(id)).at(-1)?.type).toBe('end');
    await expect(submit()).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('without an engine is refused in words', async () => {
    const { submit } = await bench(stream, { engines: [] });
    await expect(submit()).rejects.toThrow("has no engine in this worker's configuration");
    const onnx = { mode: 'onnx', executionId: 'o', model: 'm', inputs: {} } as const;
    const { worker } = await bench(stream);
    expect(() => worker.executions.submit(onnx)).toThrow('needs onnxruntime-web');
    expect(executeRequest.safeParse({ ...onnx, inputs: { x: { type: 'float32' } } }).success).toBe(false);
  });
});

describe('a guarded engine', () => {
  const manifest = {
    v: 1 as const,
    tensors: [
      {
        name: 'w',
        dtype: 'F32',
        shape: [2],
        byteLength: 8,
        fsverity: `fsverity-sha256-12:${'a'.repeat(64)}`,
      },
    ],
  };
  const report = (outcome: 'clean' | 'damaged') => ({
    v: 1 as const,
    type: 'guard.report' as const,
    operation: 'verify',
    outcome,
    against: 'manifest' as const,
    tensors: 1,
    byte_length: 8,
    damaged_blocks: outcome === 'clean' ? 0 : 1,
    elapsed_ms: 1,
    message: null,
    at: '2026-01-01T00:00:00.000Z',
  });

  it('is asked while its guard reports clean weights, not before and not behind', async () => {
    const { submit, eventsOf, worker, claims } = await bench(stream, {}, { weights: 'guarded' });
    const refused = async (): Promise<unknown> =>
      (await eventsOf(await submit({ maxAgeMs: 60_000 }))).at(-1)?.data;
    expect(await refused()).toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    const guard = await worker.guards.register({ model: 'm', pid: process.pid, client: 'test', manifest });
    expect(guard).toMatchObject({ uid: process.getuid?.(), tensors: 1, byteLength: 8, lastReport: null });
    expect(await refused()).toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    await worker.guardReport(guard.guardId, report('clean'));
    const events = await eventsOf(await submit({ maxAgeMs: 60_000 }));
    expect(events[0]).toMatchObject({ data: { weights: 'guarded', generation: null } });
    expect(events.at(-1)).toMatchObject({ type: 'end', data: { weights: 'guarded', verified: [] } });
    // The worker cannot verify that memory itself.
    expect((await eventsOf(await submit())).at(-1)).toMatchObject({ type: 'error' });
    await worker.guardReport(guard.guardId, report('damaged'));
    expect(await refused()).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(claims.map(({ report: said }) => said?.outcome ?? null)).toEqual([null, 'clean', 'damaged']);
    expect(worker.model('m').state).toBe('ready');
  });

  it('whose guard finds damage while it answers gives no result', async () => {
    const begun = gate();
    const { submit, eventsOf, worker } = await bench(
      (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write('data: x\n\n');
        begun.open();
      },
      {},
      { weights: 'guarded' },
    );
    const { guardId } = await worker.guards.register({
      model: 'm',
      pid: process.pid,
      client: 'test',
      manifest,
    });
    await worker.guardReport(guardId, report('clean'));
    const id = await submit({ maxAgeMs: 60_000 });
    await begun.opened;
    await worker.guardReport(guardId, report('damaged'));
    expect((await eventsOf(id)).at(-1)).toMatchObject({ data: { code: 'INTEGRITY_VIOLATION' } });
  });

  it('is a process that can be seen', async () => {
    const { worker } = await bench(stream);
    await expect(
      worker.guards.register({ model: 'm', pid: 4_194_000, client: 'test', manifest }),
    ).rejects.toThrow('"pid" is not a process');
    await expect(worker.guardReport('none', report('clean'))).rejects.toThrow('no such guard');
  });
});
