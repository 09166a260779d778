import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkSettings, readSettingsFile } from '../../../src/worker/index.js';

const socket = '/run/worker.sock';

function refusal(input: unknown): { argument: string | undefined; message: string } {
  try {
    checkSettings(input);
  } catch (error) {
    if (error instanceof Error && 'argument' in error)
      return { argument: String(error.argument), message: error.message };
    throw error;
  }
  throw new Error('it was accepted');
}

describe('settings', () => {
  it('have safe defaults', () => {
    expect(checkSettings({ socket })).toMatchObject({
      device: 'auto',
      policy: 'vram-only',
      roots: [],
      urlHosts: [],
      models: [],
      scrub: {},
      stallMs: 30_000,
      drills: false,
    });
  });

  it.each([
    [{}, 'socket', /nobody could reach/],
    [{ socket, audit: '/log' }, 'audit', /needs "tokenFile"/],
    [{ socket: 'relative' }, 'socket', /absolute/],
    [{ socket, policy: 'all' }, 'policy', /vram-only/],
    [{ socket, polcy: 'any' }, 'config', /polcy/],
    [{ socket, device: 'gpu' }, 'device', /cuda:N/],
    [{ socket, budget: 0 }, 'budget', /1/],
    [{ socket, scrub: { bytesPerSecond: 1 } }, 'scrub.bytesPerSecond', /./],
    [{ socket, models: [{ name: 'a' }] }, 'models.0', /./],
    [{ socket, models: [{ name: 'a', path: '/m/a' }] }, 'roots', /folders/],
    [{ socket, models: [{ name: 'a', url: 'https://h/a' }] }, 'urlHosts', /servers/],
    [
      {
        socket,
        roots: ['/m'],
        models: [
          { name: 'a', path: '/m/a' },
          { name: 'a', path: '/m/b' },
        ],
      },
      'models',
      /twice/,
    ],
    [{ socket, mostStreams: 1_024 }, 'mostStreams', /below "mostConnections"/],
    [{ socket, mostConnections: 1 }, 'mostConnections', /2/],
    [{ listen: { host: '127.0.0.1', port: 1 } }, 'tokens.admin', /needed/],
    [{ listen: { host: '0.0.0.0', port: 1 }, tokens: { admin: '/t' } }, 'listen.tls', /in the clear/],
    [
      { listen: { host: '127.0.0.1.example', port: 1 }, tokens: { admin: '/t' } },
      'listen.tls',
      /in the clear/,
    ],
    [{ listen: { host: '::1', port: 70_000 }, tokens: { admin: '/t' } }, 'listen.port', /./],
  ])('%j are refused by field', (input, argument, message) => {
    const refused = refusal(input);
    expect(refused.argument).toBe(argument);
    expect(refused.message).toMatch(message);
  });

  it('let loopback without TLS, and others with it', () => {
    const tokens = { admin: '/t' };
    for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1'])
      checkSettings({ listen: { host, port: 0 }, tokens });
    checkSettings({ listen: { host: '0.0.0.0', port: 0, tls: { cert: '/c', key: '/k' } }, tokens });
  });

  it('are read from a file of JSON, each key once', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'vram-settings-'));
    const file = join(dir, 'worker.json');
    const signal = new AbortController().signal;
    const read = async (text: string) => {
      await writeFile(file, text);
      return await readSettingsFile(file, signal);
    };
    expect(await read('{"device":"host"}')).toEqual({ device: 'host' });
    for (const text of ['', '[]', '{"a":1,"a":2}', '{"a":1}x']) {
      await expect(read(text)).rejects.toMatchObject({ code: 'INVALID_INPUT', argument: 'config' });
    }
    await expect(readSettingsFile(join(dir, 'none'), signal)).rejects.toMatchObject({ argument: 'config' });
    await rm(dir, { recursive: true });
  });
});
