import { invalidInput } from '../../base/index.js';
import { type SourceCallOptions, urlSource } from '../../source/index.js';
import type { SourceModel } from './source-model.js';

const MOST_REDIRECTS = 5;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

/**
 * A resource on one of the allowed hosts (`name` or `name:port`). Redirects are followed to allowed hosts alone.
 * Errors: INVALID_INPUT, SOURCE_MISMATCH, ABORTED.
 */
export async function modelAtUrl(
  hosts: readonly string[],
  url: string,
  { signal, stallMs }: { readonly signal: AbortSignal | undefined; readonly stallMs: number },
): Promise<SourceModel> {
  const resource = parse(url);
  requireAllowed(hosts, resource);
  const open = (end: AbortSignal | undefined) =>
    urlSource(resource, { fetch: (input, init) => fetchFrom(hosts, input, init), signal: end, stallMs });
  const first = await open(signal);
  const { byteLength, label } = first;
  await first.close();
  const shard = { label, byteLength, open: ({ signal: end }: SourceCallOptions) => open(end) };
  return { label, byteLength, files: null, isOnnx: false, shards: [shard] };
}

function parse(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null || !['http:', 'https:'].includes(parsed.protocol)) {
    throw invalidInput('url', 'must be an http or https URL');
  }
  if (parsed.username !== '' || parsed.password !== '')
    throw invalidInput('url', 'must not hold a user or password');
  return parsed;
}

function requireAllowed(hosts: readonly string[], url: URL): void {
  if (!hosts.includes(url.host))
    throw invalidInput('url', 'leads to a host that the worker may not load from');
}

async function fetchFrom(
  hosts: readonly string[],
  input: Parameters<typeof fetch>[0],
  init: Parameters<typeof fetch>[1],
): Promise<Response> {
  let url = new URL(input instanceof Request ? input.url : input);
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
    requireAllowed(hosts, url);
    const response = await fetch(url, { ...init, redirect: 'manual' });
    const location = response.headers.get('location');
    if (!REDIRECTS.includes(response.status) || location === null) return response;
    await response.body?.cancel();
    if (!URL.canParse(location, url)) throw invalidInput('url', 'leads to a redirect that is not a URL');
    const next = new URL(location, url);
    if (url.protocol === 'https:' && next.protocol !== 'https:') {
      throw invalidInput('url', 'leads to a redirect that gives up encryption');
    }
    url = next;
  }
  throw invalidInput('url', `leads through more than ${MOST_REDIRECTS} redirects`);
}
