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

export interface UrlRequestOptions {
  /** Default: the platform's own. */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /** Sent with every request, such as an authorization. Never shown. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Milliseconds without an answer, or without a byte of one, after which a request is abandoned; default 30,000. */
  readonly stallMs?: number | undefined;
}

/** Validators of one version of a resource (RFC 9110, section 8.8). */
export interface Version {
  readonly byteLength: number;
  readonly etag: string | null;
  readonly lastModified: string | null;
}

/** The bytes of a resource from `offset` on, as one response delivers them. */
export interface Body {
  /** Bytes in the response before the requested ones: all before `offset`, where the server does not support ranges. */
  readonly surplus: number;
  readonly source: Source;
}

const DEFAULT_STALL_MS = 30_000;
/** Request Timeout, Too Many Requests, and every server error: the same request may succeed a moment later. */
const PASSING_STATUS = /^(408|429|5\d\d)$/;

/** The resource behind one URL, requested over HTTP. */
export class Resource {
  /** The last part of the path only: a query may hold secrets. */
  readonly label: string;
  readonly #url: URL;
  readonly #options: UrlRequestOptions;
  readonly #calls = new ForeignCalls();
  readonly #stallMs: number;
  readonly #interruptions = new WeakSet<VramError>();
  #withoutHead: boolean;

  constructor(url: URL, options: UrlRequestOptions) {
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
    // HEAD is not defined for blob URLs, and a presigned URL is signed for GET only: a request for one byte also reveals
    // the length.
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

  /**
   * The resource from `offset` to its end. A server without range support sends all of it again; the result then says how
   * much comes before `offset`.
   */
  async rest(opened: Version, offset: number, signal: AbortSignal | undefined): Promise<Body> {
    const response = await this.#request('GET', offset === 0 ? {} : { range: `bytes=${offset}-` }, signal);
    const partial = offset > 0 && response.status === 206;
    const body = this.#bodyOf(response, opened, partial ? 206 : 200);
    if (partial) this.#requireRange(response, body, offset, opened.byteLength);
    return {
      surplus: partial ? 0 : offset,
      source: this.#bounded(body, opened.byteLength - (partial ? offset : 0)),
    };
  }

  /** `length` bytes from `offset`. */
  async range(
    opened: Version,
    offset: number,
    length: number,
    signal: AbortSignal | undefined,
  ): Promise<Source> {
    const response = await this.#request('GET', { range: `bytes=${offset}-${offset + length - 1}` }, signal);
    return this.#bounded(this.#bodyOf(response, opened, 206), length);
  }

  /** The body of an answer with that status, of the version that was opened. */
  #bodyOf(response: Response, opened: Version, status: 200 | 206): ReadableStream<Uint8Array> {
    const { body } = response;
    if (response.status !== status || body === null) {
      discard(body);
      const why =
        status === 206 && response.status === 200 ? 'ranges are not served' : `status ${response.status}`;
      const message = `"${this.label}" can no longer be read: ${why}`;
      throw PASSING_STATUS.test(String(response.status))
        ? this.#interrupted(message)
        : new VramError('SOURCE_MISMATCH', message);
    }
    const { etag, lastModified } = opened;
    const changed =
      (etag !== null && response.headers.get('etag') !== etag) ||
      (lastModified !== null && response.headers.get('last-modified') !== lastModified);
    if (changed) {
      discard(body);
      throw changedError(this.label);
    }
    return body;
  }

  /** A page sees Content-Range from its own origin, and from another origin that exposes it. */
  #requireRange(response: Response, body: ReadableStream, offset: number, byteLength: number): void {
    const range = response.headers.get('content-range');
    if (range === null || range === `bytes ${offset}-${byteLength - 1}/${byteLength}`) return;
    discard(body);
    throw new VramError('SOURCE_MISMATCH', `"${this.label}" was answered with another range than asked for`);
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
   * A response's body as a source of `byteLength` bytes: the body may have any length, whatever the headers said, and may
   * stall.
   */
  #bounded(body: ReadableStream<Uint8Array>, byteLength: number): Source {
    return limitedStream(body, byteLength, this.label, {
      calls: this.#calls,
      stallMs: this.#stallMs,
      stalled: () => this.#stalled(),
      ended: (seen) =>
        this.#interrupted(
          `"${this.label}" ended after ${seen} of ${byteLength} bytes: the download is truncated`,
        ),
    });
  }

  /** Whether the same request may succeed a moment later: nothing shows yet that the resource has changed. */
  isInterruption(error: unknown): boolean {
    return isVramError(error) && this.#interruptions.has(error);
  }

  #interrupted(message: string): VramError {
    const error = new VramError('SOURCE_MISMATCH', message);
    this.#interruptions.add(error);
    return error;
  }

  #stalled(): VramError {
    return this.#interrupted(
      `"${this.label}" cannot be fetched: nothing came for ${this.#stallMs} ms; try again, or raise stallMs`,
    );
  }

  /** The platform's own message may repeat the URL, and with it what its query holds: it is not passed on. */
  failure(error: unknown, signal: AbortSignal | undefined): unknown {
    if (isVramError(error)) return error;
    throwIfAborted(signal);
    return this.#interrupted(`"${this.label}" cannot be fetched: the connection failed`);
  }
}

/**
 * Bytes of the whole resource: Content-Range has them with a partial response and with a refusal (RFC 9110, section
 * 14.4).
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

/** Cancels an unread body. Not awaited: the connection may hang. */
function discard(body: ReadableStream<Uint8Array> | null): void {
  body?.cancel().catch(() => undefined);
}

function changedError(label: string): VramError {
  return new VramError('SOURCE_MISMATCH', `"${label}" is no longer what was opened`);
}
