import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { safetensorsFile } from '../fuzz/build.mjs';
import { startProgram } from '../support/cli.js';
import { cudaTestbed } from '../support/cuda.js';
import { findPython } from '../support/python.js';
import { ask, untilReady } from '../support/worker-http.js';

const ENGINE = fileURLToPath(new URL('engine.py', import.meta.url));
const bed = await cudaTestbed();
const python = findPython(process.env['PYTHON'] ?? 'python3');
const missing = bed.missing ?? python.missing;

describe(`an engine in Python on lent memory${missing === null ? '' : ` (NOT RUN: ${missing})`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'vram-engine-'));
  const path = (name: string): string => join(folder, name);
  const socket = path('worker.sock');
  let worker: ChildProcess;
  let engine: ChildProcess;

  const request = (executionId: string) => ({
    executionId,
    mode: 'engine',
    model: 'tiny',
    inputs: { path: '/v1/completions', body: { stream: true, prompt: [1, 10] } },
  });

  /** The events of one execution, as they were sent. */
  async function execute(id: string): Promise<string> {
    expect(await ask(socket, 'POST', '/v1/execute', request(id))).toMatchObject({ status: 202 });
    return (await ask(socket, 'GET', `/v1/executions/${id}/events`)).text;
  }

  async function startEngine(): Promise<void> {
    if (bed.missing !== null || python.missing !== null) throw new Error('there is no test bed');
    rmSync(path('engine.sock'), { force: true });
    engine = spawn(python.python, [ENGINE, path('share.sock'), path('engine.sock'), 'tiny'], {
      env: { ...process.env, PYTHONPATH: 'clients/python/src', VRAM_RESIDENCY_LIBCUDA: bed.libraryPath },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (engine.stdout === null) throw new Error('no pipe');
    expect(String(await once(engine.stdout, 'data'))).toMatch(/^listening/);
  }

  beforeAll(async () => {
    if (bed.missing !== null || missing !== null) return;
    const bytes = Uint8Array.of(1, 2, 3, 4);
    const tensors = { a: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } };
    writeFileSync(path('tiny.safetensors'), safetensorsFile(tensors, bytes));
    const config = {
      device: 'cuda:0',
      policy: 'any',
      socket,
      lockDir: path('lock'),
      lockScope: 'container',
      roots: [folder],
      share: { socket: path('share.sock') },
      models: [{ name: 'tiny', path: path('tiny.safetensors'), layout: 'tensors', share: true }],
      engines: [{ model: 'tiny', socket: path('engine.sock'), weights: 'leased' }],
      drills: true,
    };
    writeFileSync(path('worker.json'), JSON.stringify(config));
    worker = startProgram(['serve', '--config', path('worker.json')], {
      VRAM_RESIDENCY_LIBCUDA: bed.libraryPath,
    });
    await untilReady(socket);
    await startEngine();
  }, 60_000);

  afterAll(async () => {
    for (const one of [engine, worker]) {
      if (one === undefined || one.exitCode !== null || one.signalCode !== null) continue;
      const ended = once(one, 'exit');
      one.kill('SIGTERM');
      await ended;
    }
    rmSync(folder, { recursive: true, force: true });
  });

  it.skipIf(missing !== null)('answers token by token over weights that were verified first', async () => {
    const text = await execute('one');
    const tokens = [...text.matchAll(/"text":"(.*?)"\}/g)].map(([, token]) => token);
    expect(tokens).toEqual(['{\\"token\\":10}', '{\\"token\\":100}', '[DONE]']);
    expect(text).toMatch(/event: end\ndata: .*"weights":"leased".*"fsverity":"fsverity-sha256-12:/);
    const { text: status } = await ask(socket, 'GET', '/v1/status');
    expect(JSON.parse(status)).toMatchObject({ share: { models: ['tiny'], leases: 1 } });
  });

  it.skipIf(missing !== null)(
    'is not asked once its memory is damaged, and is again once it is healed',
    async () => {
      expect((await ask(socket, 'POST', '/v1/models/tiny/drill', {})).status).toBe(200);
      expect(await execute('two')).toMatch(/^event: error\ndata: .*INTEGRITY_VIOLATION/m);
      expect((await ask(socket, 'POST', '/v1/models/tiny/heal')).status).toBe(200);
      // Damage revoked its lease: until it has a new one, nobody speaks for it.
      expect(await execute('three')).toMatch(/^event: error\ndata: .*DEVICE_UNAVAILABLE/m);
      engine.kill('SIGKILL');
      await once(engine, 'exit');
      await startEngine();
      expect(await execute('four')).toMatch(/^event: end$/m);
    },
  );

  it.skipIf(missing !== null)(
    'that is killed leaves an error, and the memory is wiped all the same',
    async () => {
      engine.kill('SIGKILL');
      await once(engine, 'exit');
      expect(await execute('five')).toMatch(/^event: error\ndata: .*DEVICE_UNAVAILABLE/m);
      expect((await ask(socket, 'DELETE', '/v1/models/tiny')).status).toBe(204);
    },
  );
});
