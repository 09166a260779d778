import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VramManager } from '../../../src/index.js';
import { sealFromUrl } from '../../../src/page/index.js';
import { xorshiftBytes } from '../../support/xorshift.js';
import { engineOf } from '../digest/engines.js';

const WEIGHTS = xorshiftBytes(31, 700_000);
const ADDRESS = 'https://models.example/weights.bin';

/** Serves the weights, or others, in ranges; counts the requests for bytes. */
function server(bytes = WEIGHTS) {
  const asked: (string | null)[] = [];
  const fetch = (async (_url: URL, { method, headers }: RequestInit): Promise<Response> => {
    const range = new Headers(headers).get('range');
    if (method !== 'HEAD') asked.push(range);
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
    const part = first === undefined ? bytes : bytes.slice(Number(first), Number(last) + 1);
    return new Response(method === 'HEAD' ? null : new Uint8Array(part), {
      status: first === undefined ? 200 : 206,
      headers: { 'content-length': String(part.length) },
    });
  }) as typeof globalThis.fetch;
  return { asked, fetch };
}

describe('sealFromUrl', () => {
  let manager: VramManager;
  let expected: string;

  beforeAll(async () => {
    const stream = engineOf('wasm').start({ byteLength: WEIGHTS.length, sha256: false, keep: 'root' });
    await stream.update(WEIGHTS);
    ({ fsverity: expected } = await stream.finish());
    manager = await VramManager.open({ device: 'host', policy: 'any', workerId: 'w', drills: true });
  });

  afterAll(() => manager.close());

  it('seals what has the expected digest, with the options of seal()', async () => {
    const { shard, cache, evicted } = await sealFromUrl(manager, ADDRESS, {
      expected: [expected],
      shardId: 'from-url',
      fetch: server().fetch,
    });
    expect({ id: shard.shardId, fsverity: shard.fsverity }).toEqual({ id: 'from-url', fsverity: expected });
    expect({ cache, evicted }).toEqual({ cache: 'none', evicted: false });
    await manager.release(shard);
  });

  it('refuses other bytes, and leaves nothing behind', async () => {
    const { fetch } = server(WEIGHTS.map((byte, at) => (at === 9 ? byte ^ 1 : byte)));
    await expect(sealFromUrl(manager, ADDRESS, { expected, fetch })).rejects.toMatchObject({
      code: 'SOURCE_MISMATCH',
    });
    expect(manager.status().liveShards).toBe(0);
  });

  it('is healed from the URL by a scrubber', async () => {
    const { fetch, asked } = server();
    const { shard } = await sealFromUrl(manager, ADDRESS, { expected, fetch });
    await manager.drill(shard, { flips: 1, seed: 4 });
    const scrubber = manager.scrub({ intervalMs: 1, bytesPerSecond: 2 ** 30, heal: true });
    await expect.poll(() => asked.some((range) => range !== null), { timeout: 10_000 }).toBe(true);
    await expect.poll(() => manager.status().quarantined, { timeout: 10_000 }).toEqual([]);
    await scrubber.stop();
    expect((await manager.verify(shard)).verified).toBe(true);
    await manager.release(shard);
  });

  it.each([
    ['no digest', {}, 'expected'],
    ['a digest that is none', { expected: 'md5:00' }, 'expected'],
    ['an empty list', { expected: [] }, 'expected'],
    ['a cache that is none', { expected: `sha256:${'0'.repeat(64)}`, cache: {} }, 'cache'],
    ['a misspelt option', { expected: `sha256:${'0'.repeat(64)}`, shardID: 'x' }, 'shardID'],
    ['no options', undefined, 'options'],
  ])('refuses %s', async (_what, options, argument) => {
    const given = options === undefined ? options : { ...options, fetch: server().fetch };
    await expect(sealFromUrl(manager, ADDRESS, given as never)).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message: expect.stringContaining(argument),
    });
  });
});
