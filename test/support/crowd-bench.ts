import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProgram } from './cli.js';
import { ask, untilReady } from './worker-http.js';

export const EXECUTION = 'e';

/** The built worker in a process of its own, and an engine in this one that ends its answer when it is told to. */
export interface CrowdBench extends AsyncDisposable {
  readonly socket: string;
  readonly pid: number;
  /** Begins an execution and resolves once it runs. */
  begin(): Promise<void>;
  /** The engine says one thing more, or its last. */
  say(text: string): void;
  end(): void;
}

export async function crowdBench(settings: Readonly<Record<string, unknown>>): Promise<CrowdBench> {
  const folder = await mkdtemp(join(tmpdir(), 'vram-crowd-'));
  const socket = join(folder, 'worker.sock');
  let answer: ServerResponse | null = null;
  const engine = createServer((request, response) => {
    request.resume();
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: begun\n\n');
    answer = response;
  });
  engine.listen(join(folder, 'engine.sock'));
  await once(engine, 'listening');
  await writeFile(join(folder, 'm.bin'), Buffer.alloc(100_000, 7));
  const config = {
    device: 'host',
    policy: 'any',
    socket,
    lockDir: join(folder, 'lock'),
    roots: [folder],
    models: [{ name: 'm', path: join(folder, 'm.bin') }],
    engines: [{ model: 'm', socket: join(folder, 'engine.sock'), weights: 'guarded' }],
    ...settings,
  };
  await writeFile(join(folder, 'worker.json'), JSON.stringify(config));
  const worker = startProgram(['serve', '--config', join(folder, 'worker.json')]);
  await untilReady(socket);
  return {
    socket,
    pid: pidOf(worker),
    begin: () => begin(socket),
    say: (text) => void answer?.write(`data: ${text}\n\n`),
    end: () => void answer?.end('data: [DONE]\n\n'),
    async [Symbol.asyncDispose]() {
      const exited = once(worker, 'exit');
      worker.kill('SIGTERM');
      await exited;
      engine.closeAllConnections();
      engine.close();
      await rm(folder, { recursive: true });
    },
  };
}

async function begin(socket: string): Promise<void> {
  const guard = { model: 'm', pid: process.pid, client: 'crowd', manifest: { v: 1, tensors: [] } };
  const { guardId } = JSON.parse((await ask(socket, 'POST', '/v1/guards', guard)).text);
  await ask(socket, 'POST', `/v1/guards/${guardId}/reports`, {
    ...{
      v: 1,
      type: 'guard.report',
      operation: 'verify',
      outcome: 'clean',
      against: 'first-use',
      tensors: 0,
    },
    ...{ byte_length: 0, damaged_blocks: 0, elapsed_ms: 0, message: null, at: '2026-01-01T00:00:00.000Z' },
  });
  const inputs = { path: '/v1/completions', body: {} };
  const request = { executionId: EXECUTION, mode: 'engine', model: 'm', inputs, maxAgeMs: 600_000 };
  await ask(socket, 'POST', '/v1/execute', request);
  for (let round = 0; round < 200; round++) {
    const { text } = await ask(socket, 'GET', `/v1/executions/${EXECUTION}`);
    if (JSON.parse(text).lastEventId >= 2) return;
    await new Promise((wake) => setTimeout(wake, 25));
  }
  throw new Error('the execution does not run');
}

function pidOf({ pid }: ChildProcess): number {
  if (pid === undefined) throw new Error('the worker was not started');
  return pid;
}
