import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { statusText } from '../../src/cli/commands/status.js';
import { askWorker } from '../../src/cli/worker-call.js';
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
    const { signal } = new AbortController();
    await expect(
      askWorker({ socket, path: '/v1/status', token: null, signal, answerMs: 200 }),
    ).rejects.toMatchObject({ code: 'INVALID_INPUT', message: expect.stringContaining('200 ms') });
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
      models: [{ ...model, failure, next: { generation: evil, progress: null, failure } }],
    };
    // Whoever listens there need not heed the types of a worker.
    const text: string = Reflect.apply(statusText, null, [status, 0]);
    expect(text).toMatch(/^[\x20-\x7e\n]+$/);
    expect(text.trimEnd().split('\n')).toHaveLength(6);
  });
});
