import {
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isAbsolute } from 'node:path';
import { invalidInput, VramError } from '../base/index.js';
import { WorkerError } from './worker-error.js';

/**
 * Where a worker listens: its Unix socket, by its absolute path, or a URL. `ca`: PEM of the authority that signed its
 * certificate. The directory of a socket is not checked: use one that only the worker's user and root can write.
 */
export type WorkerAddress =
  | { readonly socket: string }
  | { readonly url: string | URL; readonly ca?: string | undefined };

export interface Call {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body: string | null;
  /** Time limit for the answer; for a stream, for its beginning. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

interface Begun {
  readonly response: IncomingMessage;
  readonly request: ClientRequest;
  readonly limit: NodeJS.Timeout;
  /** The message when the time is up. */
  readonly late: () => WorkerError | null;
}

/** From a URL's host. */
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/** More than any answer except a stream. */
const MOST_ANSWER_BYTES = 64 * 2 ** 20;

/** Makes single HTTP calls to one worker. Errors: WorkerError with WORKER_LOST or DEADLINE_UNMET; ABORTED (VramError). */
export class Connection {
  readonly #where: RequestOptions;
  readonly #secure: boolean;
  /** For messages. */
  readonly #name: string;
  readonly #token: string | null;

  /** Errors: INVALID_INPUT naming the argument. */
  constructor(address: WorkerAddress, token: string | null) {
    if (token !== null && !/^[\x21-\x7e]+$/.test(token)) {
      throw invalidInput('token', 'must be printable characters without spaces');
    }
    this.#token = token;
    if ('socket' in address) {
      const { socket } = address;
      if (typeof socket !== 'string' || !isAbsolute(socket))
        throw invalidInput('socket', 'must be an absolute path');
      this.#where = { socketPath: socket };
      this.#secure = false;
      this.#name = JSON.stringify(socket);
      return;
    }
    const url = parseUrl(address.url);
    this.#secure = url.protocol === 'https:';
    if (!this.#secure && token !== null && !LOOPBACK.test(url.hostname)) {
      throw invalidInput('url', 'must be https beyond loopback: otherwise the token is sent unencrypted');
    }
    this.#where = {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? (this.#secure ? 443 : 80) : Number(url.port),
      ...(address.ca === undefined ? {} : { ca: address.ca }),
    };
    this.#name = url.origin;
  }

  /** The whole answer. */
  async ask(call: Call): Promise<{ readonly status: number; readonly text: string }> {
    const { response, request, limit, late } = await this.#begin(call);
    try {
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of response as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > MOST_ANSWER_BYTES) throw new WorkerError('DEVICE_UNAVAILABLE', 'the answer is too long');
        chunks.push(chunk);
      }
      return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() };
    } catch (error) {
      throw late() ?? this.#typed(error, call);
    } finally {
      clearTimeout(limit);
      request.destroy();
    }
  }

  /** The answer's head; the caller reads the body and destroys it. */
  async open(call: Call): Promise<IncomingMessage> {
    const { response, limit } = await this.#begin(call);
    clearTimeout(limit);
    return response;
  }

  #begin(call: Call): Promise<Begun> {
    const { method, path, body, timeoutMs, signal } = call;
    return new Promise((resolve, reject) => {
      const headers = {
        ...call.headers,
        ...(this.#token === null ? {} : { authorization: `Bearer ${this.#token}` }),
        ...(body === null
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      };
      const send = this.#secure ? httpsRequest : httpRequest;
      // No connection pool: a connection that the worker closed between calls would look like one dropped during a call.
      const request = send({
        ...this.#where,
        method,
        path,
        headers,
        agent: false,
        ...(signal && { signal }),
      });
      let late: WorkerError | null = null;
      const limit = setTimeout(() => {
        late = new WorkerError('DEADLINE_UNMET', `no whole answer within ${timeoutMs} ms`);
        request.destroy(late);
      }, timeoutMs);
      request.on('response', (response) => {
        // Readers receive the error. Without this listener an error before or between reads would end the process.
        response.on('error', () => undefined);
        resolve({ response, request, limit, late: () => late });
      });
      request.on('error', (error) => {
        clearTimeout(limit);
        reject(late ?? this.#typed(error, call));
      });
      request.end(body ?? undefined);
    });
  }

  /** A system error in words, without addresses. */
  #typed(error: unknown, { signal }: Call): unknown {
    if (error instanceof WorkerError) return error;
    if (signal?.aborted === true) return new VramError('ABORTED', 'the call was aborted', { cause: error });
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'the connection dropped';
    return new WorkerError('WORKER_LOST', `no worker answers on ${this.#name}: ${why}`, { cause: error });
  }
}

function parseUrl(value: string | URL): URL {
  let url: URL;
  try {
    url = new URL(value);
  } catch (cause) {
    throw invalidInput('url', 'is not a URL', cause);
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw invalidInput('url', 'must be http or https');
  if (
    url.username !== '' ||
    url.password !== '' ||
    url.search !== '' ||
    url.hash !== '' ||
    url.pathname !== '/'
  ) {
    throw invalidInput('url', 'must have a host and a port alone');
  }
  return url;
}
