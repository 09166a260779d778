import type { ModelOutcome, Problem, WorkerEvent, WorkerStatus } from '../api-schema/index.js';

export interface Session {
  readonly role: 'read' | 'execute' | 'admin';
  readonly drills: boolean;
  /** Whether this worker has tokens configured. */
  readonly login: boolean;
}

/** The worker refused. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const ANSWER_MS = 30_000;
/** Long, because hashing or healing a large model takes minutes. */
const WORK_MS = 600_000;

// The page is served by the process that answers it, so the answers have the forms that the page was built with.
export async function getSession(): Promise<Session> {
  return (await json('GET', '/session')) as Session;
}

export async function getStatus(): Promise<WorkerStatus> {
  return (await json('GET', '/v1/status')) as WorkerStatus;
}

/** Errors: Refusal with 401 for an unknown token. */
export async function login(token: string): Promise<void> {
  await send('POST', '/session', { token });
}

export async function logout(): Promise<void> {
  await send('DELETE', '/session');
}

export async function order(model: string, what: 'verify' | 'heal'): Promise<ModelOutcome> {
  return (await json('POST', `/v1/models/${encodeURIComponent(model)}/${what}`, WORK_MS)) as ModelOutcome;
}

export async function drill(model: string): Promise<{ readonly blocks: readonly number[] }> {
  const answer = await json('POST', `/v1/models/${encodeURIComponent(model)}/drill`, WORK_MS);
  return answer as { blocks: number[] };
}

/** One event of the worker's stream; null for other text. */
export function parseEvent(text: unknown): WorkerEvent | null {
  try {
    return typeof text === 'string' ? (JSON.parse(text) as WorkerEvent) : null;
  } catch {
    // A truncated line. The status is read again and has its content.
    return null;
  }
}

async function json(method: string, path: string, ms = ANSWER_MS): Promise<unknown> {
  return await (await send(method, path, undefined, ms)).json();
}

async function send(method: string, path: string, body?: unknown, ms = ANSWER_MS): Promise<Response> {
  const response = await fetch(path, {
    method,
    signal: AbortSignal.timeout(ms),
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  if (response.ok) return response;
  const problem = (await response.json().catch(() => ({}))) as Partial<Problem>;
  throw new Refusal(response.status, problem.detail ?? `the worker answered ${response.status}`);
}
