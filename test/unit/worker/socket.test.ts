import { once } from 'node:events';
import { chmod, mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Worker as Thread } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/index.js';
import { Admission, listen, Tokens, workerApp } from '../../../src/worker/http/index.js';
import { MIB } from './fixture.js';
import { folder, open, service, unforeseen } from './http-fixture.js';

function get(
  socketPath: string,
  path: string,
  { method = 'GET', body }: { readonly method?: string; readonly body?: string } = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    httpRequest({ socketPath, path, method, headers }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      // A refused body is not read to its end: writing the rest of it may fail once the answer is there.
      .on('socket', (socket) => socket.on('error', () => undefined))
      .on('error', reject)
      .end(body);
  });
}

function raw(socketPath: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(socketPath, () => socket.write(text));
    socket.on('data', (chunk) => {
      answer += chunk.toString();
    });
    socket.on('end', () => resolve(answer)).on('error', reject);
  });
}

describe('a socket', () => {
  it('is for its user alone, and takes the place of one that nobody listens on', async () => {
    const { worker } = await service();
    const dir = await folder();
    const path = join(dir, 'worker.sock');
    const admission = new Admission({
      tokens: await Tokens.open({}, () => 0),
      hosts: null,
      clock: systemClock,
    });
    const app = workerApp({ worker, admission, clock: systemClock, onUnforeseen: unforeseen });
    const listener = await listen({ socket: path, trustOwner: null }, app);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await get(path, '/livez')).toBe(204);
    await expect(listen({ socket: path, trustOwner: null }, app)).rejects.toThrow(
      /in use by another process/,
    );
    await listener.close();
    await writeFile(join(dir, 'file'), '');
    await expect(listen({ socket: join(dir, 'file'), trustOwner: null }, app)).rejects.toThrow(
      /something else than a socket/,
    );
    await symlink(join(dir, 'file'), join(dir, 'link'));
    await expect(listen({ socket: join(dir, 'link'), trustOwner: null }, app)).rejects.toThrow(
      /something else than a socket/,
    );
    await expect(listen({ socket: join(dir, 'x'.repeat(120)), trustOwner: null }, app)).rejects.toThrow(
      /107 bytes/,
    );
    await chmod(dir, 0o777);
    await expect(listen({ socket: path, trustOwner: null }, app)).rejects.toThrow(/cannot be trusted/);
    await chmod(dir, 0o700);
  });

  it('leaves a server alone that is too busy to take another connection', async () => {
    const path = join(await folder(), 'worker.sock');
    const hold = new Int32Array(new SharedArrayBuffer(4));
    // It listens, and then does nothing more: its queue of one fills up.
    const busy = new Thread(
      `const { parentPort, workerData } = require('node:worker_threads');
       const server = require('node:net').createServer().listen({ path: ${JSON.stringify(path)}, backlog: 1 }, () => {
         parentPort.postMessage(null);
         Atomics.wait(workerData, 0, 0);
         server.close();
       });`,
      { eval: true, workerData: hold },
    );
    open.push({
      [Symbol.asyncDispose]: async () => {
        Atomics.store(hold, 0, 1);
        Atomics.notify(hold, 0);
        await busy.terminate();
      },
    });
    await once(busy, 'message');
    const full = new Promise((resolve) => {
      for (let count = 0; count < 8; count++) {
        const socket = connect(path).on('error', resolve);
        open.push({ [Symbol.asyncDispose]: async () => void socket.destroy() });
      }
    });
    expect(await full).toMatchObject({ code: 'EAGAIN' });
    const app = async (): Promise<Response> => new Response(null);
    await expect(listen({ socket: path, trustOwner: null }, app)).rejects.toThrow(
      /in use by another process/,
    );
    expect((await stat(path)).isSocket()).toBe(true);
  });

  it('is not made where a link leads to below a directory of others', async () => {
    const dir = await folder();
    await mkdir(join(dir, 'others', 'ours'), { recursive: true, mode: 0o700 });
    await mkdir(join(dir, 'safe'), { mode: 0o700 });
    await symlink(join(dir, 'others', 'ours'), join(dir, 'safe', 'link'));
    await chmod(join(dir, 'others'), 0o777);
    const app = async (): Promise<Response> => new Response(null);
    await expect(
      listen({ socket: join(dir, 'safe', 'link', 'worker.sock'), trustOwner: null }, app),
    ).rejects.toThrow(/cannot be trusted: lies below a directory/);
  });

  it('ends connections that say too much, or nothing', async () => {
    const { worker } = await service();
    const path = join(await folder(), 'worker.sock');
    const admission = new Admission({
      tokens: await Tokens.open({}, () => 0),
      hosts: null,
      clock: systemClock,
    });
    const listener = await listen(
      { socket: path, trustOwner: null },
      workerApp({ worker, admission, clock: systemClock, onUnforeseen: unforeseen }),
    );
    expect(await raw(path, `GET /v1/status HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431/,
    );
    expect(await raw(path, 'nonsense\r\n\r\n')).toMatch(/^HTTP\/1\.1 400/);
    expect(await get(path, '/livez')).toBe(204);
    await listener.close();
  });

  it('carries requests with and without a body', async () => {
    const { worker, write, settled } = await service();
    const path = join(await folder(), 'worker.sock');
    const admission = new Admission({
      tokens: await Tokens.open({}, () => 0),
      hosts: null,
      clock: systemClock,
    });
    const settings = { worker, admission, clock: systemClock, onUnforeseen: unforeseen };
    const listener = await listen({ socket: path, trustOwner: null }, workerApp(settings));
    const commit = { name: 'a', path: await write('a.bin', MIB) };
    expect(await get(path, '/v1/models', { method: 'POST', body: JSON.stringify(commit) })).toBe(202);
    await settled('a');
    expect(await get(path, '/v1/models/a/verify', { method: 'POST' })).toBe(200);
    expect(await get(path, '/v1/plan', { method: 'POST', body: ' '.repeat(2_000_000) })).toBe(413);
    await listener.close();
  });
});
