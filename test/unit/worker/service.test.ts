import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { safetensorsFile } from '../../fuzz/build.mjs';
import { pattern, TestClock } from '../manager/fixture.js';
import { MIB, type Rig, rig } from './fixture.js';

const open: AsyncDisposable[] = [];
async function start(...options: Parameters<typeof rig>): Promise<Rig> {
  const made = await rig(...options);
  open.push(made);
  return made;
}
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

/** A server on loopback, gone with the test. */
async function serve(handler: RequestListener): Promise<string> {
  const server = createServer(handler);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push({
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  });
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return `127.0.0.1:${address.port}`;
}

describe('a model in the worker', () => {
  it('is sealed, verified and told of, then wiped', async () => {
    const { worker, manager, write, settled, events } = await start();
    expect(worker.readiness()).toEqual({ state: 'empty', ready: true, reason: null });
    const path = await write('weights.bin', 3 * MIB + 5);
    const committed = await worker.commit({ name: 'one', path });
    expect(committed).toMatchObject({ name: 'one', generation: 1, instance: worker.instance });
    await settled('one');
    expect(worker.model('one')).toMatchObject({
      state: 'ready',
      byteLength: 3 * MIB + 5,
      shards: [{ label: 'weights.bin', quarantined: false, lastVerifiedAt: expect.stringMatching(/Z$/) }],
    });
    expect(worker.readiness().state).toBe('ready');
    expect(await worker.verify('one')).toMatchObject({ ok: true, shards: [{ ok: true, failure: null }] });
    await worker.remove('one');
    expect(manager.status().liveShards).toBe(0);
    expect(() => worker.model('one')).toThrow(/no model "one"/);
    const types = (await events()).map(({ type }) => type).filter((type) => type !== 'model.progress');
    expect(types).toEqual(['model.loading', 'model.ready', 'worker.state', 'model.released', 'worker.state']);
  });

  it('is found damaged, and healed from its file', async () => {
    const { worker, write, settled, events } = await start({}, { drills: true });
    await worker.commit({ name: 'one', path: await write('weights.bin', 2 * MIB) });
    await settled('one');
    await worker.drill('one', { seed: 3 });
    const found = await worker.verify('one');
    expect(found).toMatchObject({
      ok: false,
      shards: [{ ok: false, failure: { code: 'INTEGRITY_VIOLATION' } }],
    });
    expect(found.shards[0]?.blocks).toBeGreaterThan(0);
    expect(worker.model('one').state).toBe('damaged');
    expect(await worker.heal('one')).toMatchObject({
      ok: true,
      shards: [{ blocks: 1 }],
    });
    expect(worker.model('one').state).toBe('ready');
    expect((await events()).map(({ type }) => type)).toEqual(
      expect.arrayContaining(['drill.injected', 'shard.damaged', 'shard.healed']),
    );
  });

  it('makes the worker unready while it is configured and damaged', async () => {
    const files = await start();
    const path = await files.write('weights.bin', MIB);
    const { worker, settled } = await start(
      { roots: [files.root], models: [{ name: 'one', path }] },
      { drills: true },
    );
    expect(worker.readiness()).toMatchObject({ state: 'starting', ready: false });
    await waitFor(() => worker.models().length === 1);
    await settled('one');
    expect(worker.readiness()).toEqual({ state: 'ready', ready: true, reason: null });
    await worker.drill('one', { seed: 1 });
    await worker.verify('one');
    expect(worker.readiness()).toEqual({ state: 'ready', ready: false, reason: 'the model one is damaged' });
  });
});

describe('the same name again', () => {
  it('serves the old generation until the new one is verified', async () => {
    const { worker, manager, write, settled, events } = await start();
    await worker.commit({ name: 'one', path: await write('old.bin', MIB, 1) });
    await settled('one');
    const before = worker.model('one').shards[0]?.fsverity;
    await worker.commit({ name: 'one', path: await write('new.bin', 2 * MIB, 2) });
    expect(worker.model('one')).toMatchObject({ generation: 1, state: 'ready', next: { generation: 2 } });
    await settled('one');
    const after = worker.model('one');
    expect(after).toMatchObject({ generation: 2, state: 'ready', next: null, byteLength: 2 * MIB });
    expect(after.shards[0]?.fsverity).not.toBe(before);
    await waitFor(() => manager.status().liveShards === 1);
    expect((await events()).map(({ type, generation }) => `${type} ${generation}`)).toContain(
      'model.replaced 1',
    );
  });

  it('[WO-002] goes on serving the old generation where the new one fails', async () => {
    const { worker, manager, write, settled } = await start();
    await worker.commit({ name: 'one', path: await write('old.bin', MIB, 1) });
    await settled('one');
    const wrong = `fsverity-sha256-12:${'0'.repeat(64)}`;
    await worker.commit({ name: 'one', path: await write('new.bin', MIB, 2), expected: [wrong] });
    await settled('one');
    expect(worker.model('one')).toMatchObject({
      generation: 1,
      state: 'ready',
      next: { generation: 2, failure: { code: 'SOURCE_MISMATCH' } },
    });
    expect((await worker.verify('one')).ok).toBe(true);
    expect(manager.status().liveShards).toBe(1);
  });

  it('is refused while a load under it is under way', async () => {
    const host = await serve(stalling(MIB, pattern(1)));
    const { worker, write } = await start({ urlHosts: [host] });
    await worker.commit({ name: 'one', url: `http://${host}/weights` });
    await expect(worker.commit({ name: 'one', path: await write('b.bin', MIB) })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'name',
    });
  });
});

describe('a device that takes longer than a source may stall', () => {
  it.each(['seal', 'verify'] as const)('ends no load: %s', async (slow) => {
    const clock = new TestClock();
    const { worker, manager, write, settled } = await start({ clock, stallMs: 1_000 });
    if (slow === 'seal') {
      const seal = manager.seal.bind(manager);
      manager.seal = async (source, options) => {
        const sealed = await seal(source, options);
        clock.turn(5_000);
        return sealed;
      };
    } else {
      const verify = manager.verify.bind(manager);
      manager.verify = (sealed, options) => {
        clock.turn(5_000);
        return verify(sealed, options);
      };
    }
    await worker.commit({ name: 'one', path: await write('weights.bin', MIB) });
    await settled('one');
    expect(worker.model('one')).toMatchObject({ state: 'ready', failure: null });
  });
});

describe('plans', () => {
  const bytes = 2 * MIB;
  /** A worker with room for ten shards of 2 MiB. */
  async function roomForTen(options: Parameters<typeof rig>[0] = {}): Promise<Rig> {
    const probe = await start();
    const { scratchBytes } = (await probe.worker.status()).capacity;
    return await start(options, { budgetBytes: scratchBytes + 10 * bytes });
  }

  it('[WO-001] gives ten of a hundred at once where there is room for ten', async () => {
    const { worker } = await roomForTen();
    const plans = await Promise.all(Array.from({ length: 100 }, () => worker.plan({ byteLength: bytes })));
    expect(plans.filter(({ feasible }) => feasible)).toHaveLength(10);
    expect(new Set(plans.flatMap(({ reservationId }) => reservationId ?? [])).size).toBe(10);
    expect(plans.find(({ feasible }) => !feasible)?.reason).toMatch(
      /2097152 bytes are requested, 0 are left/,
    );
  });

  it('keeps loads, loaded models and plans apart', async () => {
    const { worker, write, settled } = await roomForTen();
    const path = await write('a.bin', bytes);
    const plan = await worker.plan({ model: { path } });
    for (let more = 0; more < 9; more++)
      expect((await worker.plan({ byteLength: bytes })).feasible).toBe(true);
    expect((await worker.plan({ byteLength: bytes })).feasible).toBe(false);
    // Without a reservation there is no room; with one there is.
    await expect(worker.commit({ name: 'a', path })).rejects.toMatchObject({ code: 'INSUFFICIENT_VRAM' });
    await worker.commit({ name: 'a', path, reservationId: plan.reservationId ?? '' });
    expect((await worker.plan({ byteLength: bytes })).feasible).toBe(false);
    await settled('a');
    expect((await worker.plan({ byteLength: bytes })).feasible).toBe(false);
    expect((await worker.status()).reservations).toBe(9);
  });

  it('[WO-001] expire, and cannot be committed twice', async () => {
    const clock = new TestClock();
    const { worker, write } = await roomForTen({ clock, reservationMs: 1_000 });
    const path = await write('a.bin', bytes);
    const { reservationId } = await worker.plan({ model: { path } });
    await worker.commit({ name: 'a', path, reservationId: reservationId ?? '' });
    await expect(
      worker.commit({ name: 'b', path, reservationId: reservationId ?? '' }),
    ).rejects.toMatchObject({
      code: 'RESERVATION_EXPIRED',
    });
    const second = await worker.plan({ model: { path } });
    clock.turn(1_001);
    await expect(
      worker.commit({ name: 'c', path, reservationId: second.reservationId ?? '' }),
    ).rejects.toMatchObject({ code: 'RESERVATION_EXPIRED' });
    expect((await worker.status()).capacity.reservedBytes).toBe(0);
  });

  it('refuse a commit that takes more than they hold', async () => {
    const { worker, write } = await start();
    const { reservationId } = await worker.plan({ byteLength: bytes });
    const path = await write('a.bin', bytes + 1);
    await expect(
      worker.commit({ name: 'a', path, reservationId: reservationId ?? '' }),
    ).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'reservationId',
    });
  });
});

describe('a load', () => {
  it('[WO-001] that stalls is given up and leaves nothing', async () => {
    const host = await serve(stalling(4 * MIB, pattern(3 * MIB)));
    const { worker, manager, settled } = await start({ urlHosts: [host], stallMs: 300 });
    await worker.commit({ name: 'one', url: `http://${host}/weights` });
    await settled('one');
    expect(worker.model('one')).toMatchObject({ state: 'failed', failure: { code: 'LOAD_STALLED' } });
    expect(manager.status().liveShards).toBe(0);
    expect((await manager.capacity()).usedBytes).toBe(0);
  });

  it('from a server is sealed and can be healed', async () => {
    const weights = pattern(MIB, 9);
    const host = await serve((request, response) => {
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
      if (from === undefined) {
        response.writeHead(200, { 'content-length': weights.length, 'accept-ranges': 'bytes', etag: '"1"' });
        response.end(request.method === 'HEAD' ? undefined : weights);
        return;
      }
      const part = weights.subarray(Number(from), Number(to) + 1);
      const range = `bytes ${from}-${Number(from) + part.length - 1}/${weights.length}`;
      response
        .writeHead(206, { 'content-length': part.length, 'content-range': range, etag: '"1"' })
        .end(part);
    });
    const { worker, settled } = await start({ urlHosts: [host] }, { drills: true });
    await worker.commit({ name: 'one', url: `http://${host}/weights.bin` });
    await settled('one');
    await worker.drill('one', { seed: 4 });
    expect((await worker.verify('one')).ok).toBe(false);
    expect(await worker.heal('one')).toMatchObject({ ok: true });
  });

  it('of several files leaves nothing where a later one is wrong', async () => {
    const { worker, manager, root, settled } = await start();
    const [first, second] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    await writeFile(join(root, first), tensors('a', MIB));
    await writeFile(join(root, second), tensors('b', MIB));
    const index = { metadata: {}, weight_map: { a: first, b: second } };
    await writeFile(join(root, 'model.safetensors.index.json'), JSON.stringify(index));
    await worker.commit({ name: 'one', path: root });
    await settled('one');
    const [good] = worker.model('one').shards;
    expect(worker.model('one').shards).toHaveLength(2);
    await worker.remove('one');
    const expected = [good?.fsverity ?? '', `fsverity-sha256-12:${'0'.repeat(64)}`];
    await worker.commit({ name: 'two', path: root, expected });
    await settled('two');
    expect(worker.model('two')).toMatchObject({
      state: 'failed',
      shards: [],
      failure: { code: 'SOURCE_MISMATCH' },
    });
    expect(manager.status().liveShards).toBe(0);
  });

  it('is ended by deleting the model', async () => {
    const host = await serve(stalling(MIB, pattern(1)));
    const { worker, manager } = await start({ urlHosts: [host] });
    await worker.commit({ name: 'one', url: `http://${host}/weights` });
    await worker.remove('one');
    expect(worker.models()).toEqual([]);
    expect(manager.status().liveShards).toBe(0);
  });
});

describe('where models may come from', () => {
  it('[WO-006] is below the roots, links resolved', async () => {
    const outside = await start();
    const secret = await outside.write('secret.bin', MIB);
    const { worker, root, write } = await start();
    await symlink(secret, join(root, 'link.bin'));
    for (const path of [
      secret,
      join(root, 'link.bin'),
      `${root}/../${secret.split('/').at(-2)}/secret.bin`,
    ]) {
      const refused = worker.commit({ name: 'one', path });
      await expect(refused).rejects.toMatchObject({ code: 'INVALID_INPUT', argument: 'path' });
    }
    const absent = await failureOf(worker.commit({ name: 'one', path: '/nowhere/at-all' }));
    const present = await failureOf(worker.commit({ name: 'one', path: secret }));
    expect(absent.message).toBe(present.message);
    await symlink(await write('inside.bin', MIB), join(root, 'good.bin'));
    await worker.commit({ name: 'one', path: join(root, 'good.bin') });
  });

  it('is not beside a root into which a hub cache links', async () => {
    const { root, worker, settled } = await start();
    const [snapshots, blobs] = [join(root, 'snapshots'), join(root, 'blobs')];
    await mkdir(join(snapshots, 'main'), { recursive: true });
    await mkdir(blobs);
    await writeFile(join(blobs, 'b1'), tensors('a', MIB));
    await symlink('../../blobs/b1', join(snapshots, 'main', 'model.safetensors'));
    const path = join(snapshots, 'main');
    const inner = await start({ roots: [snapshots] });
    await expect(inner.worker.commit({ name: 'one', path })).rejects.toThrow(
      /below one of the worker's model roots/,
    );
    await worker.commit({ name: 'one', path });
    await settled('one');
    expect(worker.model('one').state).toBe('ready');
  });

  it('[WO-006] is the file that was looked at', async () => {
    const { worker, root, write, settled } = await start({ stallMs: 5_000 });
    const path = await write('a.bin', MIB, 1);
    const other = await write('other.bin', MIB, 2);
    const commit = worker.commit({ name: 'one', path });
    const { generation } = await commit;
    await rename(other, path);
    await settled('one');
    expect(generation).toBe(1);
    // Either the load was faster than the exchange, or it found it out; never the other file's bytes.
    const view = worker.model('one');
    if (view.state === 'failed') expect(view.failure?.code).toBe('SOURCE_MISMATCH');
    await writeFile(join(root, 'done'), '');
  });

  it('[WO-006] is on an allowed host, also behind redirects', async () => {
    const inner = await serve((_request, response) =>
      response.writeHead(200, { 'content-length': 4 }).end('abcd'),
    );
    const outer = await serve((_request, response) =>
      response.writeHead(302, { location: `http://${inner}/weights` }).end(),
    );
    const { worker } = await start({ urlHosts: [outer] });
    for (const url of [`http://${inner}/weights`, `http://${outer}/weights`]) {
      await expect(worker.commit({ name: 'one', url })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    }
    for (const url of ['file:///etc/passwd', `http://user:word@${outer}/`, 'nonsense']) {
      await expect(worker.commit({ name: 'one', url })).rejects.toMatchObject({ argument: 'url' });
    }
    const both = await start({ urlHosts: [outer, inner] });
    await both.worker.commit({ name: 'one', url: `http://${outer}/weights` });
    await both.settled('one');
    expect(both.worker.model('one')).toMatchObject({ state: 'ready', byteLength: 4 });
  });
});

describe('attest', () => {
  it('is refused where the worker has no key', async () => {
    const { worker, write, settled } = await start();
    await worker.commit({ name: 'one', path: await write('a.bin', MIB) });
    await settled('one');
    await expect(worker.attest('one', randomBytes(16))).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  });
});

describe('drain', () => {
  it('lets no load begin, and no plan hold memory, that it did not see', async () => {
    for (const ask of ['commit', 'plan'] as const) {
      const { worker, manager, write } = await start();
      const path = await write('weights.bin', MIB);
      const capacity = manager.capacity.bind(manager);
      let drained: Promise<void> | null = null;
      // It begins while the device is asked what room there is.
      manager.capacity = async () => {
        drained ??= worker.drain({ keep: true });
        await drained;
        return await capacity();
      };
      const asked =
        ask === 'commit' ? worker.commit({ name: 'one', path }) : worker.plan({ byteLength: MIB });
      await expect(asked, ask).rejects.toMatchObject({ code: 'STOPPED' });
      expect(worker.models()).toEqual([]);
    }
  });

  it('ends loads, wipes everything and takes no new work', async () => {
    const host = await serve(stalling(MIB, pattern(1)));
    const { worker, manager, write, settled } = await start({ urlHosts: [host] });
    const path = await write('a.bin', MIB);
    await worker.commit({ name: 'one', path });
    await settled('one');
    await worker.commit({ name: 'two', url: `http://${host}/weights` });
    await worker.drain();
    expect(manager.status().liveShards).toBe(0);
    expect(worker.readiness()).toMatchObject({ state: 'draining', ready: false });
    await expect(worker.commit({ name: 'three', path })).rejects.toMatchObject({ code: 'STOPPED' });
    await expect(worker.plan({ byteLength: 1 })).rejects.toMatchObject({ code: 'STOPPED' });
  });

  it('with keep leaves the shards where they are', async () => {
    const { worker, manager, write, settled } = await start();
    await worker.commit({ name: 'one', path: await write('a.bin', MIB) });
    await settled('one');
    await worker.drain({ keep: true });
    expect(manager.status().liveShards).toBe(1);
  });
});

/** A safetensors file of one tensor. */
function tensors(name: string, byteLength: number): Uint8Array {
  const header = { [name]: { dtype: 'U8', shape: [byteLength], data_offsets: [0, byteLength] } };
  return safetensorsFile(header, pattern(byteLength));
}

/** Promises so many bytes and gives only these. */
function stalling(byteLength: number, given: Uint8Array): RequestListener {
  return (request, response) => {
    response.writeHead(200, { 'content-length': byteLength });
    if (request.method === 'HEAD') response.end();
    else response.write(given);
  };
}

async function failureOf(work: Promise<unknown>): Promise<Error> {
  const [outcome] = await Promise.allSettled([work]);
  if (outcome?.status === 'rejected' && outcome.reason instanceof Error) return outcome.reason;
  throw new Error('it did not fail');
}

async function waitFor(condition: () => boolean): Promise<void> {
  for (let round = 0; round < 400 && !condition(); round++)
    await new Promise((resolve) => setTimeout(resolve, 25));
  expect(condition()).toBe(true);
}
