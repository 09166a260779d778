import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cli } from '../support/cli.js';

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
      ],
      { io: { signal: stop.signal } },
    );
    const ready = async (): Promise<boolean> => (await status(socket, '/readyz')) === 204;
    for (let round = 0; round < 400 && !(await ready()); round++)
      await new Promise((wake) => setTimeout(wake, 25));
    expect(await ready()).toBe(true);
    stop.abort();
    const { stderr } = await running;
    expect(stderr).toContain(`listening on ${socket}`);
    expect(await status(socket, '/livez')).toBeNull();
  });

  it('does not begin where its policy is not met', async () => {
    const { code, stderr } = await cli(['serve', '--device', 'host', '--socket', join(dir, 'worker.sock')]);
    expect(code).toBe(3);
    expect(stderr).toContain('POLICY_VIOLATION');
  });
});

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
