import {
  checkInteger,
  ForeignCalls,
  invalidInput,
  isVramError,
  MAX_TIMER_MS,
  throwIfAborted,
  VramError,
} from '../base/index.js';
import { limitedStream } from './stream.js';
import type { Source } from './types.js';

export interface UrlSourceOptions {
  /** Default: the platform's own. */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /** Sent with every request, such as an authorization. Never shown. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Of the first request alone. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds without an answer, or without a byte of one, after which the source is given up; default 30,000. */
  readonly stallMs?: number | undefined;
}

/** What tells one version of a resource from the next (RFC 9110, section 8.8). */
interface Version {
  readonly byteLength: number;
  readonly etag: string | null;
  readonly lastModified: string | null;
}

const DEFAULT_STALL_MS = 30_000;
const SCHEMES = ['http:', 'https:', 'blob:'];

/**
 * Weights behind a URL, fetched as they are sealed. Where the server gives strong validators (ETag, Last-Modified), a
 * resource that changes meanwhile is found out; a server that gives neither is held to its length alone, and the digests
 * say the rest: pass `expected` to seal(). A server that refuses HEAD, as for presigned URLs, is asked for the first byte
 * instead; a page sees the length in that answer from its own origin, and from another one if it exposes Content-Range.
 *
 * Errors: INVALID_INPUT for a bad URL, a refused request, or a server that tells no length or compresses; SOURCE_MISMATCH
 * while reading,
 * and for a server that stalls; ABORTED.
 */
export async function urlSource(url: string | URL, options: UrlSourceOptions = {}): Promise<Source> {
  const resource = new Resource(parseUrl(url), options);
  const opened = await resource.version(options.signal);
  let closed = false;
  const requireOpen = (): void => {
    if (closed) throw invalidInput('source', 'is closed');
  };
  return {
    byteLength: opened.byteLength,
    label: resource.label,
    async *stream({ signal, chunkBytes }) {
      requireOpen();
      const { body } = await resource.get(opened, {}, 200, signal);
      const bounded = resource.bounded(body, opened.byteLength);
      try {
        yield* bounded.stream({ chunkBytes, signal });
      } catch (error) {
        throw resource.failure(error, signal);
      }
    },
    async readRange(offset, length, { signal } = {}) {
      requireOpen();
      checkInteger('offset', offset, 0, opened.byteLength);
      checkInteger('length', length, 0, opened.byteLength - offset);
      if (length === 0) return new Uint8Array(0);
      const range = { range: `bytes=${offset}-${offset + length - 1}` };
      const { body } = await resource.get(opened, range, 206, signal);
      const bytes = new Uint8Array(length);
      const bounded = resource.bounded(body, length);
      let filled = 0;
      try {
        for await (const chunk of bounded.stream({ chunkBytes: length, signal })) {
          bytes.set(chunk, filled);
          filled += chunk.length;
        }
      } catch (error) {
        throw resource.failure(error, signal);
      }
      return bytes;
    },
    async unchanged({ signal } = {}) {
      requireOpen();
      resource.requireSame(opened, await resource.version(signal));
    },
    async close() {
      closed = true;
    },
  };
}

class Resource {
  /** The last part of the path: a query may hold secrets. */
  readonly label: string;
  readonly #url: URL;
  readonly #options: UrlSourceOptions;
  readonly #calls = new ForeignCalls();
  readonly #stallMs: number;
  #withoutHead: boolean;

  constructor(url: URL, options: UrlSourceOptions) {
    this.#url = url;
    this.#options = options;
    this.#stallMs = checkInteger('stallMs', options.stallMs ?? DEFAULT_STALL_MS, 1, MAX_TIMER_MS);
    this.#withoutHead = url.protocol === 'blob:';
    const name = url.pathname.split('/').at(-1) ?? '';
    this.label = /^[\w.@+-]{1,255}$/.test(name) ? name : 'download';
  }

  async version(signal: AbortSignal | undefined): Promise<Version> {
    if (!this.#withoutHead) {
      const { response, byteLength } = await this.#ask('HEAD', {}, signal);
      if (response.status === 200 && byteLength !== null) return versionOf(response, byteLength);
    }
    // HEAD is not defined for blob URLs, and a presigned URL is signed for GET alone: one byte tells the length as well.
    const range = this.#url.protocol === 'blob:' ? {} : { range: 'bytes=0-0' };
    const { response, byteLength } = await this.#ask('GET', range, signal);
    if (byteLength === null) {
      const problem = response.ok
        ? 'is served without a length'
        : `is answered with status ${response.status}`;
      throw invalidInput('url', problem);
    }
    this.#withoutHead = true;
    return versionOf(response, byteLength);
  }

  /** The body is not read. */
  async #ask(
    method: 'GET' | 'HEAD',
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly response: Response; readonly byteLength: number | null }> {
    const response = await this.#request(method, headers, signal);
    discard(response.body);
    const encoding = response.headers.get('content-encoding') ?? 'identity';
    if (response.ok && encoding !== 'identity') {
      throw invalidInput('url', 'is served compressed, so its length is not that of the weights');
    }
    return { response, byteLength: announcedLength(response) };
  }

  async get(
    opened: Version,
    headers: Readonly<Record<string, string>>,
    status: 200 | 206,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly body: ReadableStream<Uint8Array> }> {
    const response = await this.#request('GET', headers, signal);
    const { body } = response;
    if (response.status !== status || body === null) {
      discard(body);
      const why =
        status === 206 && response.status === 200 ? 'ranges are not served' : `status ${response.status}`;
      throw new VramError('SOURCE_MISMATCH', `"${this.label}" can no longer be read: ${why}`);
    }
    const { etag, lastModified } = opened;
    const changed =
      (etag !== null && response.headers.get('etag') !== etag) ||
      (lastModified !== null && response.headers.get('last-modified') !== lastModified);
    if (changed) {
      discard(body);
      throw changedError(this.label);
    }
    return { body };
  }

  requireSame(opened: Version, now: Version): void {
    const same =
      opened.byteLength === now.byteLength &&
      opened.etag === now.etag &&
      opened.lastModified === now.lastModified;
    if (!same) throw changedError(this.label);
  }

  async #request(
    method: 'GET' | 'HEAD',
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    const request = this.#options.fetch ?? globalThis.fetch;
    const send = (givenUp: AbortSignal): Promise<Response> =>
      request(this.#url, {
        method,
        // A page cannot forbid compression; where it can be forbidden, it is.
        headers: { ...this.#options.headers, ...headers, 'accept-encoding': 'identity' },
        cache: 'no-store',
        signal: givenUp,
      });
    throwIfAborted(signal);
    try {
      return await this.#calls.run(send, {
        limitMs: this.#stallMs,
        stalled: () => this.#stalled(),
        ends: [signal],
        onLate: ({ body }) => discard(body),
      });
    } catch (error) {
      throw this.failure(error, signal);
    }
  }

  /**
   * A response's body as a source of so many bytes: it may hold any number, whatever the headers said, and may stop coming.
   */
  bounded(body: ReadableStream<Uint8Array>, byteLength: number): Source {
    const limits = { calls: this.#calls, stallMs: this.#stallMs, stalled: () => this.#stalled() };
    return limitedStream(body, byteLength, this.label, limits);
  }

  #stalled(): VramError {
    return new VramError(
      'SOURCE_MISMATCH',
      `"${this.label}" cannot be fetched: nothing came for ${this.#stallMs} ms; try again, or raise stallMs`,
    );
  }

  /** The platform's own message may repeat the URL, and with it what its query holds: it is not passed on. */
  failure(error: unknown, signal: AbortSignal | undefined): unknown {
    if (isVramError(error)) return error;
    throwIfAborted(signal);
    return new VramError('SOURCE_MISMATCH', `"${this.label}" cannot be fetched: the connection failed`);
  }
}

/**
 * Bytes of the whole resource: Content-Range tells them with a part, and with a refusal of a part (RFC 9110, section 14.4).
 */
function announcedLength({ status, headers }: Response): number | null {
  const range = headers.get('content-range') ?? '';
  const length =
    status === 206
      ? /^bytes 0-0\/(\d{1,16})$/.exec(range)?.[1]
      : status === 416
        ? /^bytes \*\/(0)$/.exec(range)?.[1]
        : status === 200
          ? /^\d{1,16}$/.exec(headers.get('content-length') ?? '')?.[0]
          : undefined;
  return length === undefined ? null : checkInteger('content-length', Number(length), 0);
}

function versionOf({ headers }: Response, byteLength: number): Version {
  return { byteLength, etag: headers.get('etag'), lastModified: headers.get('last-modified') };
}

/** Ends a body that nobody reads. Not waited for: the connection may be what hangs. */
function discard(body: ReadableStream<Uint8Array> | null): void {
  body?.cancel().catch(() => undefined);
}

function changedError(label: string): VramError {
  return new VramError('SOURCE_MISMATCH', `"${label}" is no longer what was opened`);
}

function parseUrl(value: unknown): URL {
  let url: URL;
  try {
    url = new URL(String(value));
  } catch {
    throw invalidInput('url', 'must be an absolute URL');
  }
  if (!SCHEMES.includes(url.protocol)) throw invalidInput('url', 'must be an http, https or blob URL');
  if (url.username !== '' || url.password !== '') {
    throw invalidInput('url', 'must not hold credentials: pass them as headers');
  }
  return url;
}
