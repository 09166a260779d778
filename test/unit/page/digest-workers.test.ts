import { readFileSync } from 'node:fs';
import { MessageChannel } from 'node:worker_threads';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { bytesSource, VramManager } from '../../../src/index.js';
import { type DigestPort, digestWorkers, serveDigests, type WorkerLike } from '../../../src/page/index.js';
import { xorshiftBytes } from '../../support/xorshift.js';
import { feed, inHex, naiveTree, sha256 } from '../digest/engines.js';

interface Vector {
  readonly size: number;
  readonly seed: number;
  readonly sha256: string;
  readonly fsverity: string;
}
const { cases }: { cases: Vector[] } = JSON.parse(
  readFileSync(new URL('../../vectors/fsverity.json', import.meta.url), 'utf8'),
);

/** A worker over a message channel of this thread: transfers are real, and what it does can be put wrong. */
class ChannelWorker implements WorkerLike {
  readonly #channel = new MessageChannel();
  readonly #killed: { now: boolean };
  readonly #onError: ((event: Event) => void)[] = [];
  terminated = false;

  constructor(serve: (port: DigestPort) => void, killed = { now: false }) {
    this.#killed = killed;
    const { port2 } = this.#channel;
    serve(asPort(port2));
    port2.start();
    this.#channel.port1.start();
  }

  postMessage(message: unknown, transfer: ArrayBuffer[]): void {
    if (this.#killed.now) structuredClone(null, { transfer });
    else this.#channel.port1.postMessage(message, transfer);
  }

  addEventListener(type: 'message' | 'error' | 'messageerror', listener: (event: never) => void): void {
    if (type === 'message') asPort(this.#channel.port1).addEventListener('message', listener as () => void);
    else if (type === 'error') this.#onError.push(listener as (event: Event) => void);
  }

  fail(): void {
    for (const listener of this.#onError) listener(new Event('error'));
  }

  terminate(): void {
    this.terminated = true;
    this.#channel.port1.close();
  }
}

function asPort(port: unknown): DigestPort {
  return port as DigestPort;
}

describe('digestWorkers', () => {
  const started: ChannelWorker[] = [];
  const engines: { close(): Promise<void> }[] = [];

  function open(
    serve: (port: DigestPort) => void = serveDigests,
    options: { stallMs?: number; killed?: { now: boolean } } = {},
  ) {
    const { killed, ...rest } = options;
    const worker = (): WorkerLike => {
      const one = new ChannelWorker(serve, killed);
      started.push(one);
      return one;
    };
    const engine = digestWorkers({ worker, workers: 2, ...rest });
    engines.push(engine);
    return engine;
  }

  afterEach(async () => {
    for (const engine of engines.splice(0)) await engine.close();
    started.length = 0;
  });

  it.each(cases)('gives the known answers for $size bytes', async ({ size, seed, sha256, fsverity }) => {
    const bytes = xorshiftBytes(seed, size);
    const stream = open().start({ byteLength: size, sha256: true, keep: 'root' });
    await feed(stream, bytes, [1 << 20]);
    expect(await stream.finish()).toMatchObject({ sha256, fsverity: `fsverity-sha256-12:${fsverity}` });
  });

  const MIB = 1 << 20;
  it.each([0, 1, 4096, 4097, MIB / 2, MIB / 2 + 1, MIB, MIB + 1, 3 * MIB - 5])(
    'keeps the hashes of a plain tree over %i bytes, in any chunking',
    async (size) => {
      const bytes = xorshiftBytes(5, size);
      const stream = open().start({ byteLength: size, sha256: false, keep: 'leaves' });
      await feed(stream, bytes, [MIB + 7, 13, 70_000]);
      const { root, groups, leaves, sha256 } = await stream.finish();
      const levels = naiveTree(bytes);
      expect(sha256).toBeNull();
      expect(inHex({ root, groups, leaves })).toEqual(
        inHex({
          root: levels.at(-1) ?? new Uint8Array(32),
          groups: levels[1] ?? levels[0] ?? new Uint8Array(),
          leaves: levels[0] ?? new Uint8Array(),
        }),
      );
    },
  );

  it('hashes in both workers, and one-shot inputs of any size', async () => {
    const engine = open();
    const bytes = xorshiftBytes(6, 2 * MIB + 100);
    expect(Buffer.from(await engine.sha256(bytes))).toEqual(Buffer.from(sha256(bytes)));
    expect(Buffer.from(await engine.leaves(bytes))).toEqual(Buffer.from(naiveTree(bytes)[0] ?? []));
    expect(Buffer.from(await engine.leaves(bytes.subarray(0, 9)))).toEqual(
      Buffer.from(naiveTree(bytes.subarray(0, 9))[0] ?? []),
    );
    expect(started).toHaveLength(2);
  });

  it('is the engine of a manager, whose seals other engines verify', async () => {
    const manager = await VramManager.open({ device: 'host', policy: 'any', workerId: 'w', engine: open() });
    const bytes = xorshiftBytes(7, 3_000_000);
    const shard = await manager.seal(bytesSource(bytes));
    expect((await manager.verify(shard)).verified).toBe(true);
    expect(shard.sha256).toBe(Buffer.from(sha256(bytes)).toString('hex'));
    await manager.close();
  });

  async function hash(engine: ReturnType<typeof open>): Promise<unknown> {
    const bytes = new Uint8Array(3 * MIB);
    const stream = engine.start({ byteLength: bytes.length, sha256: true, keep: 'groups' });
    await stream.update(bytes);
    return await stream.finish();
  }

  it('refuses what a killed worker had in hand, and starts another one for what comes next', async () => {
    const killed = { now: true };
    const engine = open(serveDigests, { stallMs: 500, killed });
    await expect(hash(engine)).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringContaining('has not answered for 500 ms'),
    });
    await vi.waitFor(() => expect(started.every(({ terminated }) => terminated)).toBe(true));
    const before = started.length;
    killed.now = false;
    await expect(hash(engine)).resolves.toMatchObject({ byteLength: 3 * MIB });
    expect(started.length).toBeGreaterThan(before);
  });

  it('says so where a worker’s script cannot be loaded', async () => {
    const engine = open(() => undefined);
    const hashing = hash(engine);
    await vi.waitFor(() => expect(started).toHaveLength(2));
    started[0]?.fail();
    await expect(hashing).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringContaining('could not be loaded'),
    });
  });

  it.each([
    ['text', 'hello'],
    ['an answer to nothing', { id: 999, failure: 'x' }],
  ])('refuses %s from a worker', async (_what, said) => {
    const engine = open((port) => port.addEventListener('message', () => port.postMessage(said, [])));
    await expect(hash(engine)).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
  });

  it('ends with its engine, and with an abort', async () => {
    const engine = open(() => undefined);
    const hashing = hash(engine);
    await vi.waitFor(() => expect(started).toHaveLength(2));
    await engine.close();
    await expect(hashing).rejects.toMatchObject({ code: 'ABORTED' });
    const stream = open().start({ byteLength: 10, sha256: true, keep: 'root' });
    stream.abort();
    await expect(stream.update(new Uint8Array(10))).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('refuses more and fewer bytes than announced', async () => {
    const stream = open().start({ byteLength: 10, sha256: false, keep: 'root' });
    await expect(stream.update(new Uint8Array(11))).rejects.toMatchObject({ code: 'SOURCE_MISMATCH' });
    await expect(
      open().start({ byteLength: 10, sha256: false, keep: 'root' }).finish(),
    ).rejects.toMatchObject({ code: 'SOURCE_MISMATCH' });
  });

  it('refuses options that are none, and to serve a page', () => {
    expect(() => digestWorkers({} as never)).toThrow('"worker"');
    expect(() => digestWorkers({ worker: () => new ChannelWorker(serveDigests), workers: 17 })).toThrow(
      '"workers"',
    );
    expect(() => serveDigests()).toThrow('dedicated worker');
  });
});
