import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cli, startProgram } from '../support/cli.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vram-serve-'));
});
afterEach(() => rm(dir, { recursive: true }));

describe('serve --check-config', () => {
  it('prints the settings that file and flags give together', async () => {
    const config = join(dir, 'worker.json');
    await writeFile(config, JSON.stringify({ device: 'cuda:0', socket: '/run/w.sock', stallMs: 5_000 }));
    const { code, stdout } = await cli([
      'serve',
      '--config',
      config,
      '--device',
      'host',
      '--no-scrub',
      '--check-config',
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout).settings).toMatchObject({
      device: 'host',
      policy: 'vram-only',
      socket: '/run/w.sock',
      stallMs: 5_000,
      scrub: false,
    });
  });

  it.each([
    [['--check-config'], 'socket'],
    [['--check-config', '--listen', '0.0.0.0:80', '--admin-tokens', 'x'], 'listen.tls'],
    [['--check-config', '--listen', '80'], 'HOST:PORT'],
    [['--check-config', '--socket', 's', '--model', 'a'], 'NAME=PATH'],
    [['--config', '/none', '--check-config'], 'config'],
  ])('refuses %j', async (flags, named) => {
    const { code, stderr } = await cli(['serve', ...flags]);
    expect(code).toBe(2);
    expect(stderr).toContain(named);
  });
});

describe('serve', () => {
  it('holds a model, answers on its socket, and gives everything back when it is stopped', async () => {
    const weights = join(dir, 'weights.bin');
    await writeFile(weights, Buffer.alloc(1_000_000, 7));
    const socket = join(dir, 'worker.sock');
    const stop = new AbortController();
    const running = cli(
      [
        'serve',
        '--device',
        'host',
        '--policy',
        'any',
        '--socket',
        socket,
        '--root',
        dir,
        '--model',
        `w=${weights}`,
        '--lock-dir',
        join(dir, 'lock'),
      ],
      { io: { signal: stop.signal } },
    );
    await ready(socket);
    const text = await cli(['status', '--worker', socket]);
    expect(text.stdout).toMatch(/^model {5}w@1 {2}ready {2}976\.6 KiB.*, all verified within /m);
    expect(text).toMatchObject({ code: 0, stderr: '' });
    const json = JSON.parse((await cli(['status', '--worker', socket, '--json'])).stdout);
    expect(json).toMatchObject({ v: 1, status: { state: 'ready', models: [{ name: 'w' }] } });
    stop.abort();
    const { stderr } = await running;
    expect(stderr).toContain(`listening on ${socket}`);
    expect(await status(socket, '/livez')).toBeNull();
    const gone = await cli(['status', '--worker', socket]);
    expect(gone.code).toBe(2);
    expect(gone.stderr).toContain('does not answer');
  });

  it('begins again where it was killed: socket, lock and log are its own', async () => {
    const weights = join(dir, 'weights.bin');
    await writeFile(weights, Buffer.alloc(1_000_000, 7));
    await writeFile(join(dir, 'token'), 'secret-of-the-worker-0123456789', { mode: 0o600 });
    const socket = join(dir, 'worker.sock');
    const log = ['--audit', join(dir, 'log'), '--token-file', join(dir, 'token')];
    const model = ['--root', dir, '--model', `w=${weights}`, '--lock-dir', join(dir, 'lock')];
    const start = () =>
      startProgram(['serve', '--device', 'host', '--policy', 'any', '--socket', socket, ...log, ...model], {
        XDG_STATE_HOME: join(dir, 'state'),
      });
    const first = start();
    await ready(socket);
    first.kill('SIGKILL');
    await once(first, 'exit');
    const second = start();
    await ready(socket);
    second.kill('SIGTERM');
    expect(await once(second, 'exit')).toEqual([143, null]);
    const key = join(dir, 'state/vram-residency/checkpoint-worker.key');
    const { code, stdout } = await cli([
      ...['audit', 'verify', join(dir, 'log'), '--token-file', join(dir, 'token'), '--key-file', key],
    ]);
    expect(stdout).toContain('OK');
    expect(code).toBe(0);
  });

  it('does not begin on a device that another worker serves, and begins once that one is gone', async () => {
    const start = (name: string) =>
      startProgram([
        ...['serve', '--device', 'host', '--policy', 'any', '--socket', join(dir, name)],
        ...['--lock-dir', join(dir, 'lock')],
      ]);
    const first = start('a.sock');
    await ready(join(dir, 'a.sock'));
    const lockDir = ['--lock-dir', join(dir, 'lock')];
    const second = await cli([
      ...['serve', '--device', 'host', '--policy', 'any', '--socket', join(dir, 'b.sock'), ...lockDir],
    ]);
    expect(second.code).toBe(2);
    expect(second.stderr).toContain(`host is served by another worker (process ${first.pid})`);
    first.kill('SIGKILL');
    await once(first, 'exit');
    const third = start('c.sock');
    await ready(join(dir, 'c.sock'));
    third.kill('SIGTERM');
    await once(third, 'exit');
  });

  it('does not begin where its policy is not met', async () => {
    const { code, stderr } = await cli(['serve', '--device', 'host', '--socket', join(dir, 'worker.sock')]);
    expect(code).toBe(3);
    expect(stderr).toContain('POLICY_VIOLATION');
  });
});

async function ready(socket: string): Promise<void> {
  for (let round = 0; round < 400 && (await status(socket, '/readyz')) !== 204; round++)
    await new Promise((wake) => setTimeout(wake, 25));
  expect(await status(socket, '/readyz')).toBe(204);
}

function status(socketPath: string, path: string): Promise<number | null> {
  return new Promise((resolve) => {
    request({ socketPath, path }, (response) => {
      response.resume();
      resolve(response.statusCode ?? null);
    })
      .on('error', () => resolve(null))
      .end();
  });
}
