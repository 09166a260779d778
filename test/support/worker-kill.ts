import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { startProgram } from './cli.js';
import { ask, untilReady } from './worker-http.js';

/** What a worker is in the middle of when it is killed. */
export const PHASES = ['start', 'commit', 'execute', 'lend', 'drain', 'idle'] as const;
export type Phase = (typeof PHASES)[number];

export interface KillBench {
  /** A folder with `worker.json`, `engine.sock`, the models and all that a worker writes. */
  readonly folder: string;
  /** The emulated driver. */
  readonly libraryPath: string;
  readonly borrower: { readonly python: string; readonly script: string };
}

const EXECUTION = {
  mode: 'engine',
  model: 'm',
  inputs: { path: '/v1/completions', body: {} },
  maxAgeMs: 60_000,
} as const;
const REPORT = {
  v: 1,
  type: 'guard.report',
  operation: 'verify',
  outcome: 'clean',
  against: 'first-use',
  tensors: 0,
  byte_length: 0,
  damaged_blocks: 0,
  elapsed_ms: 0,
  message: null,
  at: '2026-01-01T00:00:00.000Z',
};

/** An execution that runs until somebody ends it: the engine, which is this process, never answers. */
async function beginExecution(socket: string): Promise<void> {
  const guard = { model: 'm', pid: process.pid, client: 'kill', manifest: { v: 1, tensors: [] } };
  const { guardId } = JSON.parse((await ask(socket, 'POST', '/v1/guards', guard)).text);
  await ask(socket, 'POST', `/v1/guards/${guardId}/reports`, REPORT);
  await ask(socket, 'POST', '/v1/execute', { ...EXECUTION, executionId: 'e' });
  for (let round = 0; round < 200; round++) {
    const { text } = await ask(socket, 'GET', '/v1/executions/e');
    if (JSON.parse(text).state === 'running') return;
  }
  throw new Error('the execution does not run');
}

/** Starts a worker, brings it into a phase, kills it after `delayMs` there, and waits until it is gone. */
export async function killIn(bench: KillBench, phase: Phase, delayMs: number): Promise<void> {
  const worker = start(bench);
  const exited = once(worker, 'exit');
  const socket = join(bench.folder, 'worker.sock');
  let borrower: ChildProcess | null = null;
  if (phase !== 'start') {
    await untilReady(socket);
    if (phase === 'execute') await beginExecution(socket);
    borrower = enter(bench, phase, socket);
  }
  await pause(delayMs);
  worker.kill('SIGKILL');
  await exited;
  if (borrower !== null) {
    borrower.kill('SIGKILL');
    await once(borrower, 'exit');
  }
}

function start({ folder, libraryPath }: KillBench): ChildProcess {
  return startProgram(['serve', '--config', join(folder, 'worker.json')], {
    VRAM_RESIDENCY_LIBCUDA: libraryPath,
    XDG_STATE_HOME: join(folder, 'state'),
  });
}

/** Nobody waits for the answers: the worker will not live to give them. */
function enter(
  { folder, borrower, libraryPath }: KillBench,
  phase: Phase,
  socket: string,
): ChildProcess | null {
  switch (phase) {
    case 'commit':
      void ask(socket, 'POST', '/v1/plan', { byteLength: 4_096 });
      void ask(socket, 'POST', '/v1/models', { name: 'second', path: join(folder, 'second.bin') });
      return null;
    case 'execute':
      void ask(socket, 'GET', '/v1/executions/e/events');
      return null;
    case 'drain':
      void ask(socket, 'POST', '/v1/drain', {});
      return null;
    case 'lend':
      return spawn(borrower.python, ['-c', borrower.script, join(folder, 'share.sock')], {
        env: { ...process.env, PYTHONPATH: 'clients/python/src', VRAM_RESIDENCY_LIBCUDA: libraryPath },
        stdio: 'ignore',
      });
    default:
      return null;
  }
}

/**
 * Starts a worker where others were killed: it must take the lock, both sockets and the log, hold no plan of theirs, and
 * end in order. Resolves to what it said of itself, and to the locks that lie there.
 */
export async function startAnew(
  bench: KillBench,
): Promise<{ readonly status: unknown; readonly code: number | null; readonly locks: readonly string[] }> {
  const worker = start(bench);
  const exited = once(worker, 'exit');
  const socket = join(bench.folder, 'worker.sock');
  await untilReady(socket);
  const { text } = await ask(socket, 'GET', '/v1/status');
  worker.kill('SIGTERM');
  const [code] = await exited;
  return { status: JSON.parse(text), code, locks: await readdir(join(bench.folder, 'lock')) };
}

function pause(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, ms));
}
