import { checkInteger, invalidInput } from '../base/index.js';
import { Attempts } from './attempts.js';
import { Resource, type UrlRequestOptions } from './resource.js';
import type { Source } from './types.js';

/** Options of urlSource(). */
export interface UrlSourceOptions extends UrlRequestOptions {
  /** Of the first request alone. */
  readonly signal?: AbortSignal | undefined;
  /**
   * How often in a row an interrupted download is resumed, from 0 to 100; default 0: it fails. Waits between the attempts
   * grow from 0.25 s to 4 s; an attempt that brings 1 MiB starts the count again.
   */
  readonly retries?: number | undefined;
}

const SCHEMES = ['http:', 'https:', 'blob:'];
const MAX_RETRIES = 100;

/**
 * Weights behind a URL, fetched as they are sealed. Where the server gives strong validators (ETag, Last-Modified), a
 * resource that changes meanwhile is found out; a server that gives neither is held to its length alone, and the digests
 * say the rest: pass `expected` to seal(). A server that refuses HEAD, as for presigned URLs, is asked for the first byte
 * instead; a page sees the length in that answer from its own origin, and from another one if it exposes Content-Range.
 *
 * Errors: INVALID_INPUT for a bad URL, a refused request, or a server that sends no length or compresses; SOURCE_MISMATCH
 * while reading, and for a server that stalls; ABORTED.
 */
export async function urlSource(url: string | URL, options: UrlSourceOptions = {}): Promise<Source> {
  const retries = checkInteger('retries', options.retries ?? 0, 0, MAX_RETRIES);
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
      const attempts = new Attempts(resource, retries, signal);
      for (let offset = 0; offset < opened.byteLength; ) {
        try {
          const { surplus, source } = await resource.rest(opened, offset, signal);
          let skip = surplus;
          for await (const chunk of source.stream({ chunkBytes, signal })) {
            const fresh = chunk.subarray(skip);
            skip -= chunk.length - fresh.length;
            offset += fresh.length;
            attempts.progress(fresh.length);
            if (fresh.length > 0) yield fresh;
          }
        } catch (error) {
          await attempts.next(resource.failure(error, signal));
        }
      }
    },
    async readRange(offset, length, { signal } = {}) {
      requireOpen();
      checkInteger('offset', offset, 0, opened.byteLength);
      checkInteger('length', length, 0, opened.byteLength - offset);
      const attempts = new Attempts(resource, retries, signal);
      const bytes = new Uint8Array(length);
      for (let filled = 0; filled < length; ) {
        try {
          const rest = await resource.range(opened, offset + filled, length - filled, signal);
          for await (const chunk of rest.stream({ chunkBytes: length, signal })) {
            bytes.set(chunk, filled);
            filled += chunk.length;
            attempts.progress(chunk.length);
          }
        } catch (error) {
          await attempts.next(resource.failure(error, signal));
        }
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
