import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { Admission, Tokens, workerApp } from '../../../src/worker/http/index.js';
import { TestClock } from '../manager/fixture.js';
import { type Rig, rig } from './fixture.js';

/** Disposed after each test, the newest first. */
export const open: AsyncDisposable[] = [];

/** Nothing in these tests may fail in a way that the service does not know. */
export function unforeseen(error: unknown): void {
  throw error;
}

export type Send = (
  method: string,
  path: string,
  options?: { readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> },
) => Promise<Response>;

interface Service extends Rig {
  readonly send: Send;
}

/** A worker's app, called without a socket; with tokens where they are given. */
export async function service(
  tokens: Tokens | null = null,
  hosts: ReadonlySet<string> | null = null,
  ...options: Parameters<typeof rig>
): Promise<Service> {
  const made = await rig(...options);
  open.push(made);
  const clock = new TestClock();
  const all = tokens ?? (await Tokens.open({}, () => clock.monotonic()));
  const admission = new Admission({ tokens: all, hosts, clock });
  const app = workerApp({ worker: made.worker, admission, clock, onUnforeseen: unforeseen });
  const send: Send = (method, path, { body, headers = {} } = {}) => {
    const text = body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body);
    const type = text === null ? {} : { 'content-type': 'application/json' };
    return app(
      new Request(`http://localhost${path}`, {
        method,
        body: text,
        headers: { host: 'localhost', ...type, ...headers },
      }),
    );
  };
  return { ...made, send, [Symbol.asyncDispose]: () => made[Symbol.asyncDispose]() };
}

/** An empty folder, removed after the test. */
export async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'vram-http-'));
  open.push({ [Symbol.asyncDispose]: () => rm(path, { recursive: true }) });
  return path;
}

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one[Symbol.asyncDispose]();
});
