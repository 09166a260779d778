import { afterEach, describe, expect, it, vi } from 'vitest';
import { modelAtUrl } from '../../../src/worker/models/allowed-urls.js';

const HOSTS = ['a.example', 'b.example'];
const BYTES = 'weights';

afterEach(() => vi.unstubAllGlobals());

/** Answers each URL with a redirect to the next, and the last one with bytes. Gives the URLs that were asked. */
function chain(...urls: readonly string[]): string[] {
  const asked: string[] = [];
  vi.stubGlobal('fetch', async (input: URL, init?: RequestInit) => {
    asked.push(String(input));
    expect(init?.redirect).toBe('manual');
    const next = urls[urls.indexOf(String(input)) + 1];
    if (next !== undefined) return new Response(null, { status: 302, headers: { location: next } });
    const headers = { 'content-length': String(BYTES.length), 'accept-ranges': 'bytes' };
    return new Response(init?.method === 'HEAD' ? null : BYTES, { headers });
  });
  return asked;
}

const open = (url: string) => modelAtUrl(HOSTS, url, { signal: undefined, stallMs: 1_000 });

describe('redirects of a model', () => {
  it('are followed between allowed hosts, and from http to https', async () => {
    const asked = chain('http://a.example/m', 'https://b.example/m');
    expect(await open('http://a.example/m')).toMatchObject({ byteLength: BYTES.length });
    expect(asked).toEqual(['http://a.example/m', 'https://b.example/m']);
  });

  it.each([
    ['to another host', 'https://c.example/m', /may not load from/],
    ['to another port', 'https://b.example:8443/m', /may not load from/],
    ['that give up encryption', 'http://b.example/m', /gives up encryption/],
    ['to what is not a URL', 'https://', /is not a URL/],
    ['to another scheme', 'file:///etc/passwd', /gives up encryption/],
  ])('%s are refused, and not asked', async (_, next, why) => {
    const asked = chain('https://a.example/m', next);
    await expect(open('https://a.example/m')).rejects.toThrow(why);
    expect(new Set(asked)).toEqual(new Set(['https://a.example/m']));
  });

  it('that lead on and on are refused', async () => {
    const urls = Array.from({ length: 8 }, (_, index) => `https://a.example/${index}`);
    const asked = chain(...urls);
    await expect(open('https://a.example/0')).rejects.toThrow(/more than 5 redirects/);
    expect(asked.length).toBeLessThan(urls.length);
  });
});
