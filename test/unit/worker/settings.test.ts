import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkSettings, readSettingsFile } from '../../../src/worker/index.js';

const socket = '/run/worker.sock';
const ENGINE = { model: 'm', weights: 'guarded', url: 'http://127.0.0.1:8000' };

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
    expect(checkSettings({ socket })).toEqual({
      socket,
      device: 'auto',
      policy: 'vram-only',
      workerId: 'worker',
      tokens: {},
      roots: [],
      urlHosts: [],
      models: [],
      mostModels: 1_024,
      scrub: {},
      stallMs: 30_000,
      reservationMs: 60_000,
      onnx: false,
      engines: [],
      mostQueued: 64,
      mostStreams: 128,
      mostConnections: 1_024,
      drainMs: 30_000,
      lockDir: '/run/lock/vram-residency',
      lockScope: 'host',
      drills: false,
    });
  });

  const most = 2 ** 31 - 1;
  const largest = Number.MAX_SAFE_INTEGER;
  it.each<[string, number, number, (value: number) => object]>([
    ['budget', 1, largest, (budget) => ({ budget })],
    ['trustOwner', 0, 2 ** 32 - 2, (trustOwner) => ({ trustOwner })],
    ['listen.port', 0, 65_535, (port) => ({ tokens: { admin: '/t' }, listen: { host: '::1', port } })],
    ['mostModels', 1, 65_536, (mostModels) => ({ mostModels })],
    ['scrub.intervalMs', 1, most, (intervalMs) => ({ scrub: { intervalMs } })],
    ['scrub.bytesPerSecond', 524_288, largest, (bytesPerSecond) => ({ scrub: { bytesPerSecond } })],
    ['stallMs', 1, most, (stallMs) => ({ stallMs })],
    ['reservationMs', 1, most, (reservationMs) => ({ reservationMs })],
    ['engines.0.atOnce', 1, 1_024, (atOnce) => ({ engines: [{ ...ENGINE, atOnce }] })],
    ['mostQueued', 1, 4_096, (mostQueued) => ({ mostQueued })],
    ['mostStreams', 1, 65_535, (mostStreams) => ({ mostStreams, mostConnections: 65_536 })],
    ['mostConnections', 2, 65_536, (mostConnections) => ({ mostStreams: 1, mostConnections })],
    ['drainMs', 1, most, (drainMs) => ({ drainMs })],
    ['share.group', 0, 2 ** 32 - 2, (group) => ({ share: { socket: '/s', group } })],
  ])('take %s from %d to %d', (field, least, greatest, make) => {
    for (const value of [least, greatest]) checkSettings({ socket, ...make(value) });
    for (const value of [least - 1, greatest + 1]) {
      expect(refusal({ socket, ...make(value) }).argument, String(value)).toBe(field);
    }
  });

  it.each([
    [{}, 'socket', /cannot be reached/],
    [{ socket, audit: '/log' }, 'audit', /needs "tokenFile"/],
    [{ socket: 'relative' }, 'socket', /absolute/],
    [{ socket, policy: 'all' }, 'policy', /vram-only/],
    [{ socket, polcy: 'any' }, 'config', /polcy/],
    [{ socket, device: 'gpu' }, 'device', /cuda:N/],
    [{ socket, budget: 0 }, 'budget', /1/],
    [{ socket, scrub: { bytesPerSecond: 1 } }, 'scrub.bytesPerSecond', /./],
    [{ socket, scrub: { intervalMs: 1.5 } }, 'scrub.intervalMs', /expected int/],
    [{ socket, scrub: { intervalMs: '1', bytesPerSecond: '1' } }, 'scrub.intervalMs', /expected number/],
    [{ socket, scrub: true }, 'scrub', /Invalid input/],
    [{ socket, models: [{ name: 'a', path: '/m/a', share: 1 }] }, 'models.0.share', /expected boolean/],
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
    [{ listen: { host: '0.0.0.0', port: 1 }, tokens: { admin: '/t' } }, 'listen.tls', /sent unencrypted/],
    [
      { listen: { host: '127.0.0.1.example', port: 1 }, tokens: { admin: '/t' } },
      'listen.tls',
      /sent unencrypted/,
    ],
    [{ socket, workerId: 'a b' }, 'workerId', /must be 1 to 256 of \[A-Za-z0-9_-\]/],
    [{ socket, workerId: 'x'.repeat(257) }, 'workerId', /1 to 256/],
    [{ socket, device: 'cuda:0x' }, 'device', /must be auto, host, cuda:N or webgpu:N/],
    [{ socket, device: 'my cuda:0' }, 'device', /./],
    [{ socket, device: 'cuda:10000' }, 'device', /./],
    [{ socket, urlHosts: ['a b'] }, 'urlHosts.0', /must be a name or an address/],
    [{ socket, urlHosts: [' ab'] }, 'urlHosts.0', /must be a name or an address/],
    [{ socket, urlHosts: [''] }, 'urlHosts.0', /./],
    [{ socket, urlHosts: ['x'.repeat(256)] }, 'urlHosts.0', /./],
    [{ socket, urlHosts: Array(257).fill('h') }, 'urlHosts', /./],
    [{ socket, roots: [''] }, 'roots.0', /./],
    [{ socket, roots: [`/${'x'.repeat(4096)}`] }, 'roots.0', /./],
    [{ socket, roots: Array(257).fill('/r') }, 'roots', /./],
    [{ socket, tokens: { root: '/t' } }, 'tokens', /root/],
    [{ socket, lockScope: 'pod' }, 'lockScope', /./],
    [{ socket, onnx: true, device: 'cuda:0' }, 'onnx', /needs a WebGPU device, and "device" is cuda:0/],
    [{ socket, engines: [{ ...ENGINE, model: '-m' }] }, 'engines.0.model', /must be the name of a model/],
    [{ socket, engines: [{ ...ENGINE, model: 'm/n' }] }, 'engines.0.model', /./],
    [{ socket, engines: [{ ...ENGINE, model: `m${'x'.repeat(128)}` }] }, 'engines.0.model', /./],
    [
      { socket, engines: [{ ...ENGINE, url: 'http://10.0.0.1:80' }] },
      'engines.0.url',
      /must be http:\/\/127/,
    ],
    [{ socket, engines: [{ ...ENGINE, url: 'http://127.0.0.1' }] }, 'engines.0.url', /./],
    [{ socket, engines: [{ ...ENGINE, url: 'http://127.0.0.1:80/v1' }] }, 'engines.0.url', /./],
    [{ socket, engines: [{ ...ENGINE, url: 'xhttp://127.0.0.1:80' }] }, 'engines.0.url', /./],
    [{ socket, engines: [{ ...ENGINE, url: 'http://127.0.0.1:800000' }] }, 'engines.0.url', /./],
    [{ socket, engines: [{ ...ENGINE, socket: '/e' }] }, 'engines.0', /must have "url" or "socket"/],
    [{ socket, engines: [{ model: 'm', weights: 'guarded' }] }, 'engines.0', /must have "url" or "socket"/],
    [{ socket, engines: [ENGINE, ENGINE] }, 'engines', /names "m" twice/],
    [
      { socket, engines: [{ ...ENGINE, weights: 'leased' }] },
      'share',
      /for an engine whose weights are "leased"/,
    ],
    [
      { socket, roots: ['/m'], models: [{ name: 'a', path: '/m/a', share: true }] },
      'share',
      /for a model that is shared/,
    ],
    [{ listen: { host: 'x127.0.0.1', port: 1 }, tokens: { admin: '/t' } }, 'listen.tls', /sent unencrypted/],
    [{ listen: { host: '127.0.0', port: 1 }, tokens: { admin: '/t' } }, 'listen.tls', /sent unencrypted/],
    [
      { listen: { host: '127.0.0.1111', port: 1 }, tokens: { admin: '/t' } },
      'listen.tls',
      /sent unencrypted/,
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

  it('take what stands at the borders of the lists and patterns', () => {
    checkSettings({
      socket,
      workerId: 'A_-9'.repeat(64),
      device: 'webgpu:9999',
      onnx: true,
      urlHosts: Array(256).fill('h'.repeat(255)),
      roots: Array(256).fill(`/${'r'.repeat(4095)}`),
      engines: [
        { ...ENGINE, url: 'http://[::1]:65535', weights: 'leased' },
        { model: `M${'._-9'.repeat(31)}abc`, weights: 'guarded', socket: '/e' },
      ],
      share: { socket: '/s' },
      models: [
        { name: 'a', path: '/m/a', share: true },
        { name: 'b', url: 'https://h/b' },
      ],
      scrub: false,
      lockScope: 'container',
    });
    checkSettings({ socket, onnx: true, device: 'auto' });
    for (const policy of ['vram-only', 'gpu', 'any']) checkSettings({ socket, policy, lockScope: 'host' });
    checkSettings({ socket, audit: '/log', tokenFile: '/token' });
    const listen = { host: '127.10.200.3', port: 1, names: ['worker.example'] };
    checkSettings({ listen, tokens: { admin: '/t' } });
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
    const written = async (text: string | Uint8Array) => {
      await writeFile(file, text);
      return await readSettingsFile(file, signal).then(String, (error: Error) => error.message);
    };
    expect(await written(Uint8Array.of(0x22, 0xff, 0x22))).toContain(
      '"config" cannot be used: it is not UTF-8',
    );
    expect(await written('{"a":1,"a":2}')).toContain('cannot be used: "JSON" has a key twice');
    for (const text of ['[]', 'null', '7', '"x"']) {
      expect(await written(text)).toContain('must hold a JSON object');
    }
    for (const text of ['', '[]', '{"a":1,"a":2}', '{"a":1}x']) {
      await expect(read(text)).rejects.toMatchObject({ code: 'INVALID_INPUT', argument: 'config' });
    }
    await expect(readSettingsFile(join(dir, 'none'), signal)).rejects.toMatchObject({ argument: 'config' });
    await rm(dir, { recursive: true });
  });
});
