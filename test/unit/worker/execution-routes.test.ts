import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Admission, Tokens, workerApp } from '../../../src/worker/http/index.js';
import { TestClock } from '../manager/fixture.js';
import { type Rig, rig } from './fixture.js';

const MANIFEST = {
  v: 1,
  files: [],
  packed: null,
  tensors: [
    { name: 'w', dtype: 'F32', shape: [2], byteLength: 8, fsverity: `fsverity-sha256-12:${'a'.repeat(64)}` },
  ],
};
const REPORT = {
  v: 1,
  type: 'guard.report',
  operation: 'verify',
  outcome: 'clean',
  against: 'first-use',
  device: { name: 'GPU' },
  tensors: 1,
  byte_length: 8,
  elapsed_ms: 1.5,
  readback_bytes: 80,
  blocks_hashed: 1,
  damaged_blocks: 0,
  findings: [],
  changes: [],
  transient: [],
  message: null,
  at: '2026-01-01T00:00:00.000Z',
};

const clock = new TestClock();
const engine = createServer((request, response) => {
  request.resume();
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.end('data: one\n\ndata: [DONE]\n\n');
});
let made: Rig;
let app: (request: Request) => Promise<Response>;

beforeEach(async () => {
  await new Promise<void>((resolve) => void engine.listen(0, '127.0.0.1', resolve));
  const { port } = engine.address() as AddressInfo;
  made = await rig({
    clock,
    engines: [{ model: 'm', address: { host: '127.0.0.1', port }, weights: 'guarded', atOnce: 4 }],
  });
  const admission = new Admission({ tokens: await Tokens.open({}, () => 0), hosts: null, clock });
  app = workerApp({
    worker: made.worker,
    admission,
    clock,
    onUnforeseen: (error) => {
      throw error;
    },
  });
});
afterEach(async () => {
  await made[Symbol.asyncDispose]();
  await new Promise((resolve) => engine.close(resolve));
});

function send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  return app(
    new Request(`http://localhost${path}`, {
      method,
      body: body === undefined ? null : JSON.stringify(body),
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    }),
  );
}

async function registered(): Promise<string> {
  const answer = await send('POST', '/v1/guards', {
    model: 'm',
    pid: process.pid,
    client: 'e',
    manifest: MANIFEST,
  });
  expect(answer.status).toBe(201);
  return (await answer.json()).guardId;
}

const execution = (executionId: string) => ({
  executionId,
  mode: 'engine',
  model: 'm',
  maxAgeMs: 60_000,
  inputs: { path: '/v1/completions', body: {} },
});

describe('guards', () => {
  it('register, report as they write reports, are listed, and are forgotten', async () => {
    const id = await registered();
    const answer = await send('POST', `/v1/guards/${id}/reports`, REPORT);
    expect(answer.status).toBe(200);
    const { device: _, readback_bytes, blocks_hashed, findings, changes, transient, ...kept } = REPORT;
    expect(await answer.json()).toMatchObject({ guardId: id, reports: 1, lastReport: kept });
    const list = await send('GET', '/v1/guards');
    expect((await list.json()).guards).toHaveLength(1);
    expect((await send('DELETE', `/v1/guards/${id}`)).status).toBe(204);
    expect((await send('POST', `/v1/guards/${id}/reports`, REPORT)).status).toBe(404);
  });

  it.each([
    [{ pid: 4_194_000 }, 'pid'],
    [{ client: 'a\u0000b' }, 'client'],
    [{ manifest: { v: 2, tensors: [] } }, 'manifest.v'],
    [{ manifest: { v: 1, tensors: [...MANIFEST.tensors, ...MANIFEST.tensors] } }, 'manifest'],
  ])('are refused with %j', async (part, named) => {
    const body = { model: 'm', pid: process.pid, client: 'e', manifest: MANIFEST, ...part };
    const answer = await send('POST', '/v1/guards', body);
    expect(answer.status).toBe(400);
    expect((await answer.json()).detail).toContain(named);
  });
});

describe('executions', () => {
  it('are accepted, told as events with what speaks for the weights, and resumed', async () => {
    await send('POST', `/v1/guards/${await registered()}/reports`, REPORT);
    const accepted = await send('POST', '/v1/execute', execution('one'));
    expect(accepted.status).toBe(202);
    const { events } = await accepted.json();
    const text = await (await send('GET', events)).text();
    const lines = [...text.matchAll(/^event: (.*)$/gm)].map(([, type]) => type);
    expect(lines).toEqual(['started', 'output', 'output', 'metrics', 'end']);
    const rest = await send('GET', events, undefined, { 'last-event-id': '3' });
    expect(rest.headers.get('x-weights')).toBe('guarded');
    expect(Number(rest.headers.get('x-verified-age-ms'))).toBeGreaterThanOrEqual(0);
    expect([...(await rest.text()).matchAll(/^id: (.*)$/gm)].map(([, id]) => id)).toEqual(['4', '5']);
    expect(await (await send('GET', '/v1/executions/one')).json()).toMatchObject({
      state: 'ended',
      terminal: { type: 'end', data: { weights: 'guarded' } },
    });
    // The same again is the same execution; another request under its id is none.
    expect((await send('POST', '/v1/execute', execution('one'))).status).toBe(202);
    expect((await send('POST', '/v1/execute', { ...execution('one'), maxAgeMs: 1 })).status).toBe(409);
  });

  it('keep their events for ten minutes after the end, and their outcome longer', async () => {
    await send('POST', '/v1/execute', execution('two'));
    await made.worker.executions.idle();
    clock.turn(599_000);
    expect((await send('GET', '/v1/executions/two/events')).status).toBe(200);
    clock.turn(1_000);
    const expired = await send('GET', '/v1/executions/two/events');
    expect(expired.status).toBe(410);
    expect(await expired.json()).toMatchObject({ code: 'EVENTS_EXPIRED' });
    expect(await (await send('GET', '/v1/executions/two')).json()).toMatchObject({
      terminal: { type: 'error', data: { code: 'DEVICE_UNAVAILABLE' } },
    });
    expect(await (await send('POST', '/v1/executions/two/cancel')).json()).toMatchObject({ state: 'ended' });
    expect((await send('GET', '/v1/executions/three')).status).toBe(404);
  });

  it.each([
    [{ inputs: { path: '/etc/passwd', body: {} } }, 'inputs.path'],
    [{ executionId: '../x' }, 'executionId'],
    [{ mode: 'shell' }, 'mode'],
    [{ model: 'other' }, 'model'],
    [{ deadlineMs: 0 }, 'deadlineMs'],
    [{ mode: 'onnx', inputs: {} }, 'mode'],
  ])('are refused with %j', async (part, named) => {
    const answer = await send('POST', '/v1/execute', { ...execution('four'), ...part });
    expect(answer.status).toBe(400);
    expect((await answer.json()).detail).toContain(named);
  });
});

describe('a stream of events', () => {
  /** An answer of 3 MiB, which comes faster than anybody reads it. */
  async function large(): Promise<string> {
    await send('POST', `/v1/guards/${await registered()}/reports`, REPORT);
    engine.removeAllListeners('request');
    engine.once('request', (request, response) => {
      request.resume();
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (let part = 0; part < 30; part++) response.write(`data: ${'x'.repeat(100_000)}\n\n`);
      response.end();
    });
    const { events } = await (await send('POST', '/v1/execute', execution('large'))).json();
    return events;
  }

  it('that is larger than what may lie unread is whole for a reader who begins a little later', async () => {
    const events = await large();
    await made.worker.executions.idle();
    const answer = await send('GET', events);
    // All of it could go out by now.
    await new Promise((resolve) => setTimeout(resolve, 200));
    const text = await answer.text();
    expect(text.match(/^event: output$/gm)).toHaveLength(30);
    expect(text).not.toContain('overrun');
    expect(text).toMatch(/event: end\n/);
  });

  it('that nobody reads holds nothing up', async () => {
    const answer = await send('GET', await large());
    await made.worker.executions.idle();
    expect(made.worker.executions.get('large').view()).toMatchObject({
      state: 'ended',
      terminal: { type: 'end' },
    });
    await answer.body?.cancel();
  });
});
