import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { statusText } from '../../src/cli/commands/status.js';
import { WorkerClient } from '../../src/client/index.js';
import { cli } from '../support/cli.js';

let dir: string;
let socket: string;
const stops: (() => void)[] = [];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vram-status-'));
  socket = join(dir, 'worker.sock');
});
afterEach(async () => {
  for (const stop of stops.splice(0)) stop();
  await rm(dir, { recursive: true });
});

/** What listens on the socket says this much of an answer, and then does what `then` does. */
async function answering(text: string, then: (connection: Socket) => void): Promise<void> {
  const server = createServer((connection) => {
    stops.push(() => connection.destroy());
    connection.on('error', () => undefined);
    connection.once('data', () => connection.write(text, () => then(connection)));
  });
  stops.push(() => server.close());
  server.listen(socket);
  await once(server, 'listening');
}

/** A whole answer. */
async function answeringJson(body: string): Promise<void> {
  const head = `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n`;
  await answering(head + body, (connection) => connection.end());
}

const SHARD = {
  quarantined: false,
  lastVerifiedAt: '2026-11-28T06:00:00Z',
  lastScrubbedAt: '2026-11-28T05:59:00Z',
};
const NEXT = { generation: 2, progress: null, failure: null };
const MODEL = {
  name: 'm',
  generation: 1,
  state: 'ready',
  byteLength: 4096,
  shards: [SHARD],
  progress: { bytes: 0, totalBytes: 0 },
  failure: null,
  next: NEXT,
};
const STATUS = {
  instance: 'i',
  workerId: 'w',
  state: 'ready',
  reason: null,
  device: { id: 'host', name: 'n', residency: 'host', execution: 'x' },
  capacity: { totalBytes: null, usedBytes: 0, reservedBytes: 0 },
  reservations: 0,
  executions: { queued: 0, running: 0 },
  share: null,
  lastEventId: 0,
  models: [MODEL],
};

const HALF = 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"state":';

describe('status of a worker that does not answer well', () => {
  it('says so where the worker ends in the middle of its answer', async () => {
    await answering(HALF, (connection) => connection.destroy());
    const { code, stdout, stderr } = await cli(['status', '--worker', socket]);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain('ECONNRESET');
  });

  it('waits no longer for an answer that comes byte by byte than for none', async () => {
    await answering(HALF, (connection) => {
      const drip = setInterval(() => connection.write(' '), 10);
      stops.push(() => clearInterval(drip));
    });
    await expect(new WorkerClient({ socket }).status({ timeoutMs: 200 })).rejects.toMatchObject({
      code: 'DEADLINE_UNMET',
      message: expect.stringContaining('200 ms'),
    });
  });

  it('sends nothing of an answer to the terminal that it would obey', async () => {
    const evil = '\u001b[2J\u009b\u202e\n';
    const failure = { code: evil, detail: evil };
    const model = { name: evil, generation: evil, state: evil, byteLength: 1, shards: [], progress: null };
    const status = {
      workerId: evil,
      state: evil,
      reason: evil,
      device: { id: evil, name: evil, residency: evil, execution: evil },
      capacity: { totalBytes: null, usedBytes: 0, reservedBytes: 0 },
      reservations: 0,
      executions: { queued: evil, running: evil },
      share: { models: [evil], leases: evil },
      models: [{ ...model, failure, next: { generation: evil, progress: null, failure } }],
    };
    // Whoever listens there need not heed the types of a worker.
    const text: string = Reflect.apply(statusText, null, [status, 0]);
    expect(text).toMatch(/^[\x20-\x7e\n]+$/);
    expect(text.trimEnd().split('\n')).toHaveLength(7);
  });

  it('takes what a newer worker sends more, and a load of no bytes', async () => {
    await answeringJson(JSON.stringify({ ...STATUS, state: 'resting', more: [1] }));
    const { code, stdout } = await cli(['status', '--worker', socket]);
    expect(code).toBe(0);
    expect(stdout).toContain('resting');
    expect(stdout).toContain('0 % loaded');
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['a device that is null', { ...STATUS, device: null }],
    ['no device name', { ...STATUS, device: { ...STATUS.device, name: 7 } }],
    ['no capacity', { ...STATUS, capacity: [] }],
    ['negative bytes', { ...STATUS, capacity: { ...STATUS.capacity, usedBytes: -1 } }],
    ['a reason that is not text', { ...STATUS, reason: {} }],
    ['models in an object', { ...STATUS, models: { length: 1 } }],
    ['a model that is null', { ...STATUS, models: [null] }],
    ['shards that are none', { ...STATUS, models: [{ ...MODEL, shards: null }] }],
    ['a shard that is null', { ...STATUS, models: [{ ...MODEL, shards: [null] }] }],
    [
      'a time that is none',
      { ...STATUS, models: [{ ...MODEL, shards: [{ ...SHARD, lastVerifiedAt: 'x' }] }] },
    ],
    [
      'a scrub at no time',
      { ...STATUS, models: [{ ...MODEL, shards: [{ ...SHARD, lastScrubbedAt: 'x' }] }] },
    ],
    ['no executions', { ...STATUS, executions: null }],
    ['shared models in an object', { ...STATUS, share: { models: {}, leases: 0 } }],
    ['a state that is not text', { ...STATUS, models: [{ ...MODEL, state: {} }] }],
    ['no next', { ...STATUS, models: [{ ...MODEL, next: undefined }] }],
    ['a failure without words', { ...STATUS, models: [{ ...MODEL, next: { ...NEXT, failure: {} } }] }],
  ])('does not fall over an answer with %s', async (_, answer) => {
    await answeringJson(JSON.stringify(answer));
    const { code, stdout, stderr } = await cli(['status', '--worker', socket]);
    expect(stderr).toContain('a form that this version does not support');
    expect(stdout).toBe('');
    expect(code).toBe(5);
  });

  it('does not fall over an answer nested so deep that it could not be written again', async () => {
    const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;
    await answeringJson(`{"more":${deep},${JSON.stringify(STATUS).slice(1)}`);
    const { code, stderr } = await cli(['status', '--json', '--worker', socket]);
    expect(stderr).toContain('not a worker');
    expect(code).toBe(5);
  });

  it('tells the oldest verification and scrub, what was never verified, and who uses the models', () => {
    const later = {
      ...SHARD,
      lastVerifiedAt: '2026-11-28T06:00:01Z',
      lastScrubbedAt: '2026-11-28T06:00:01Z',
    };
    const textOf = (shards: unknown, more: unknown = {}): string =>
      Reflect.apply(statusText, null, [
        { ...STATUS, ...Object(more), models: [{ ...MODEL, shards }] },
        Date.parse('2026-11-28T06:00:02Z'),
      ]);
    const both = textOf([SHARD, later]);
    expect(both).toContain('all verified within 2.00 s, scrubbed within 62.00 s');
    expect(both).not.toContain('work ');
    const some = textOf([SHARD, { ...SHARD, lastVerifiedAt: null, lastScrubbedAt: null }]);
    expect(some).toContain('1 never verified');
    expect(some).not.toMatch(/all verified|scrubbed/);
    const used = { executions: { queued: 5, running: 2 }, share: { models: ['m'], leases: 3 } };
    expect(textOf([SHARD], used)).toContain(
      'work      2 executions running, 5 waiting; 3 leases on 1 shared models',
    );
  });

  it('counts the shards of a model, however many there are', () => {
    const shards = Array.from({ length: 300_000 }, () => SHARD);
    const text: string = Reflect.apply(statusText, null, [
      { ...STATUS, models: [{ ...MODEL, shards }] },
      Date.parse(SHARD.lastVerifiedAt),
    ]);
    expect(text).toContain('300000 shards');
  });

  it.each([
    ['control characters', 'abc\u0001def'],
    ['what no header can hold', 'token \u20ac'],
    ['nothing', '\nsecond'],
  ])('refuses a token of %s in words, and sends nothing', async (_, token) => {
    const file = join(dir, 'token');
    await writeFile(file, token, { mode: 0o600 });
    await answeringJson(JSON.stringify(STATUS));
    const { code, stderr } = await cli(['status', '--worker', socket, '--token-file', file]);
    expect(stderr).toContain('must begin with a line that is a bearer token');
    expect(code).toBe(2);
  });

  it('asks nobody where somebody else could have put the socket', async () => {
    let connections = 0;
    const open = join(dir, 'open');
    await mkdir(open);
    await chmod(open, 0o777);
    const server = createServer(() => {
      connections += 1;
    });
    stops.push(() => server.close());
    server.listen(join(open, 'worker.sock'));
    await once(server, 'listening');
    const { code, stderr } = await cli(['status', '--worker', join(open, 'worker.sock')]);
    expect(stderr).toContain('can be written by everybody');
    expect([code, connections]).toEqual([2, 0]);
  });
});
