import { request } from 'node:http';

export interface HttpAnswer {
  /** null where nobody answers. */
  readonly status: number | null;
  readonly text: string;
}

/** Asks a worker on its Unix socket. */
export function ask(socketPath: string, method: string, path: string, body?: unknown): Promise<HttpAnswer> {
  return new Promise((resolve) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const call = request({ socketPath, path, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        text += piece;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? null, text }));
      response.on('error', () => resolve({ status: null, text }));
    });
    call.on('error', () => resolve({ status: null, text: '' }));
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Waits until every configured model is verified. */
export async function untilReady(socket: string): Promise<void> {
  for (let round = 0; round < 1_200; round++) {
    if ((await ask(socket, 'GET', '/readyz')).status === 204) return;
    await new Promise((wake) => setTimeout(wake, 25));
  }
  throw new Error(`the worker on ${socket} is not ready`);
}
