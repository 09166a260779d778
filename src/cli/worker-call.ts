import { request } from 'node:http';
import type { Problem } from '../api-schema/index.js';
import { invalidInput, parseStrictJson, VramError } from '../base/index.js';

const MOST_ANSWER_BYTES = 16 * 2 ** 20;
/** From the call to the end of the answer, however slowly that comes. */
const ANSWER_MS = 30_000;

export interface WorkerCall {
  readonly socket: string;
  readonly path: string;
  /** Bearer token; null where the socket's own rights are enough. */
  readonly token: string | null;
  readonly signal: AbortSignal;
  /** How long the whole answer may take; default 30,000 ms. */
  readonly answerMs?: number;
}

/**
 * Asks a worker on this host for a JSON document. Errors: INVALID_INPUT (nobody answers on the socket, or not whole in time,
 * or refuses), DEVICE_UNAVAILABLE (an answer that is not the worker's), ABORTED.
 */
export async function askWorker(call: WorkerCall): Promise<unknown> {
  const { status, text } = await send(call);
  const value = parse(text);
  if (status === 200) return value;
  const { detail = `it answered ${status}` } = isProblem(value) ? value : {};
  throw invalidInput('worker', `refused: ${detail}`);
}

function send({
  socket,
  path,
  token,
  signal,
  answerMs = ANSWER_MS,
}: WorkerCall): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const headers = token === null ? {} : { authorization: `Bearer ${token}` };
    const call = request({ socketPath: socket, path, headers, signal }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MOST_ANSWER_BYTES) call.destroy(new Error('the answer is too long'));
        else chunks.push(chunk);
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
      );
      // Of a worker that ends in the middle of its answer the call itself says nothing.
      response.on('error', (cause) => call.emit('error', cause));
    });
    const limit = setTimeout(
      () => call.destroy(new Error(`no whole answer within ${answerMs} ms`)),
      answerMs,
    );
    call.on('close', () => clearTimeout(limit));
    call.on('error', (cause: NodeJS.ErrnoException) => {
      if (signal.aborted) reject(new VramError('ABORTED', 'the call was aborted', { cause }));
      else
        reject(
          invalidInput(
            'worker',
            `does not answer on ${JSON.stringify(socket)}: ${cause.code ?? cause.message}`,
            cause,
          ),
        );
    });
    call.end();
  });
}

function parse(text: string): unknown {
  try {
    // Its depth is bounded too: what is nested too deep could be parsed, but not written again.
    return parseStrictJson(text, { what: 'the answer' });
  } catch (cause) {
    throw new VramError('DEVICE_UNAVAILABLE', 'what answers on the socket is not a worker', { cause });
  }
}

function isProblem(value: unknown): value is Problem {
  return typeof value === 'object' && value !== null && 'detail' in value && typeof value.detail === 'string';
}
