import { describe, expect, it } from 'vitest';
import { VramError } from '../../../src/base/index.js';
import { tensorSource } from '../../../src/models/index.js';
import { bytesSource } from '../../../src/source/index.js';
import { rising, tensorModel } from '../../support/tensor-model.js';
import { failure, pattern } from '../manager/fixture.js';
import { BYTES, borrower, closeAll, HELLO, receive, type Shared, share } from './fixture.js';
import { type MemoryClient, settle } from './memory-transport.js';

const LEND = { type: 'lend', model: 'model' };
const source = () => bytesSource(pattern(BYTES));

async function greeted({ transport }: Shared): Promise<MemoryClient> {
  const client = await transport.connect();
  await client.say(HELLO);
  return client;
}

async function turn({ clock }: Shared, ms: number): Promise<void> {
  clock.turn(ms);
  await settle();
}

/** The last error that a client was sent. */
const wordsOf = (client: MemoryClient): unknown => {
  const error = client.last('error');
  return [error?.['code'], error?.['message']];
};

describe('a connection', () => {
  it.each<[string, object]>([
    ['lend', LEND],
    ['received', { type: 'received', shardId: 'weights' }],
    ['paused', { type: 'paused', n: 1 }],
    ['end', { type: 'end' }],
  ])('whose first message is "%s" is closed, with the reason', async (type, message) => {
    const shared = await share();
    const client = await shared.transport.connect();
    await client.say(message);
    expect(wordsOf(client)).toEqual(['PROTOCOL', `"${type}" is not allowed now`]);
    expect(client.closed).toBe('server');
    await closeAll(shared);
  });

  it('that says a message twice where once is right is closed, with the reason', async () => {
    const shared = await share();
    const twice = await greeted(shared);
    await twice.say(HELLO);
    expect(wordsOf(twice)).toEqual(['PROTOCOL', '"hello" is not allowed now']);
    const lent = await borrower(shared);
    await lent.say(LEND);
    expect(wordsOf(lent)).toEqual(['PROTOCOL', '"lend" is not allowed now']);
    const received = await borrower(shared);
    await received.say({ type: 'received', shardId: 'weights' });
    expect(wordsOf(received)).toEqual(['PROTOCOL', '"received" is not allowed now']);
    const paused = await greeted(shared);
    await paused.say({ type: 'paused', n: 1 });
    expect(wordsOf(paused)).toEqual(['PROTOCOL', '"paused" is not allowed now']);
    await closeAll(shared);
  });

  it('that acknowledges another shard than the one it was handed is closed', async () => {
    const shared = await share();
    const client = await greeted(shared);
    await client.say(LEND);
    await client.say({ type: 'received', shardId: 'other' });
    expect(wordsOf(client)).toEqual(['PROTOCOL', '"received" is not allowed now']);
    await closeAll(shared);
  });

  it('may end before it asks for a lease, and nothing is recorded', async () => {
    const shared = await share();
    const client = await greeted(shared);
    await client.say({ type: 'end' });
    expect(client.closed).toBe('server');
    expect(client.types()).toEqual(['welcome']);
    expect(shared.recorder.of('lease.ended')).toEqual([]);
    await closeAll(shared);
  });

  it('is told which version the worker supports', async () => {
    const shared = await share();
    const client = await shared.transport.connect();
    await client.say({ ...HELLO, versions: [2] });
    expect(wordsOf(client)).toEqual(['VERSION', 'this worker supports version 1 only']);
    // It is closed: what it says afterwards is not answered.
    await client.say(HELLO);
    expect(client.types()).toEqual(['error']);
    await closeAll(shared);
  });

  it.each([
    ['hello', 5000, async ({ transport }: Shared) => await transport.connect()],
    ['lend', 60_000, greeted],
    [
      'received',
      30_000,
      async (shared: Shared) => {
        const client = await greeted(shared);
        await client.say(LEND);
        return client;
      },
    ],
  ] as const)('has a limit for its "%s": %d ms', async (type, limitMs, enter) => {
    const shared = await share();
    const client = await enter(shared);
    await turn(shared, limitMs - 1);
    expect(client.closed).toBeNull();
    await turn(shared, 1);
    expect(wordsOf(client)).toEqual(['TIMEOUT', `no ${type} arrived in time`]);
    expect(client.closed).toBe('server');
    await closeAll(shared);
  });

  it('starts its time for "lend" anew after a request that was refused', async () => {
    const shared = await share();
    const client = await greeted(shared);
    for (let count = 0; count < 3; count++) {
      await turn(shared, 50_000);
      await client.say({ type: 'lend', model: 'unknown' });
      expect(wordsOf(client)).toEqual(['NOT_FOUND', 'no such model is offered: welcome lists the models']);
    }
    expect(client.closed).toBeNull();
    await turn(shared, 60_000);
    expect(wordsOf(client)).toEqual(['TIMEOUT', 'no lend arrived in time']);
    await closeAll(shared);
  });

  it('has no limit while it holds a lease, and leaves no timer behind', async () => {
    const shared = await share();
    const client = await borrower(shared);
    await turn(shared, 3_600_000);
    expect(client.closed).toBeNull();
    await client.say({ type: 'end' });
    expect(shared.clock.waiting).toBe(0);
    await closeAll(shared);
  });

  it('that says too much in a short time is told so', async () => {
    const shared = await share();
    const client = await borrower(shared);
    await shared.manager.drill(shared.shard, { seed: 3 });
    const healing = shared.manager.heal(shared.shard, source());
    await settle();
    await client.say({ type: 'paused', n: 1 });
    await healing;
    for (let line = 0; line < 100; line++) await client.say({ type: 'paused', n: 1 });
    expect(wordsOf(client)).toEqual(['PROTOCOL', 'too many messages in a short time']);
    await closeAll(shared);
  });

  it('that answers a pause that was never asked for is closed', async () => {
    const shared = await share();
    const client = await borrower(shared);
    await client.say({ type: 'paused', n: 1 });
    expect(wordsOf(client)).toEqual(['PROTOCOL', '"n" does not match a pause of this lease']);
    await closeAll(shared);
  });

  it('that does not read what it is handed is closed, and nothing stays open', async () => {
    const shared = await share();
    const client = await greeted(shared);
    client.room = 0;
    await client.say(LEND);
    expect(shared.transport.open).toBe(0);
    expect(client.handed).toEqual([]);
    expect(shared.server.leases()).toEqual([]);
    expect(client.closed).toBe('server');
    await closeAll(shared);
  });

  it('gets no second lease after a handover that failed halfway: it may map what it received', async () => {
    const shared = await share();
    const shards = [];
    for (let index = 0; index < 2; index++) {
      const place = { shardId: `part-${index}`, modelRef: 'big', shardIndex: index, totalShards: 2 };
      shards.push(
        await shared.manager.seal(bytesSource(pattern(5000, index + 2)), { ...place, share: true }),
      );
    }
    shared.server.offer('big', shards);
    const client = await greeted(shared);
    await client.say({ type: 'lend', model: 'big' });
    shared.transport.refuse = new VramError('DEVICE_UNAVAILABLE', 'the driver does not export this memory');
    await client.say({ type: 'received', shardId: 'part-0' });
    expect(wordsOf(client)).toEqual(['DEVICE_UNAVAILABLE', 'the driver does not export this memory']);
    expect(client.closed).toBe('server');
    expect(shared.recorder.of('lease.ended')).toMatchObject([{ how: 'cut' }]);
    await client.die();
    shared.transport.refuse = null;
    await closeAll(shared);
  });

  it('whose handover failed before it received anything may ask again on the same connection', async () => {
    const shared = await share();
    shared.transport.refuse = new VramError('DEVICE_UNAVAILABLE', 'the driver does not export this memory');
    const client = await greeted(shared);
    await client.say(LEND);
    expect(wordsOf(client)).toEqual(['DEVICE_UNAVAILABLE', 'the driver does not export this memory']);
    expect(shared.recorder.of('lease.ended')).toMatchObject([{ how: 'cut' }]);
    expect(shared.server.leases()).toEqual([]);
    // The time for the next "lend" runs again.
    await turn(shared, 60_000);
    expect(wordsOf(client)).toEqual(['TIMEOUT', 'no lend arrived in time']);
    await closeAll(shared);
  });

  it('whose lease is revoked during the handover gets no more shards, and its late receipt is accepted', async () => {
    const shared = await share();
    const client = await greeted(shared);
    await client.say(LEND);
    const releasing = shared.manager.release(shared.shard);
    await settle();
    expect(client.last('revoked')).toMatchObject({ reason: 'released' });
    // It may have said so twice before it heard of the revocation.
    for (let count = 0; count < 2; count++) await client.say({ type: 'received', shardId: 'weights' });
    expect(client.closed).toBeNull();
    expect(client.types()).not.toContain('lent');
    await client.say({ type: 'received', shardId: 'other' });
    expect(wordsOf(client)).toEqual(['PROTOCOL', '"received" is not allowed now']);
    await client.die();
    await releasing;
    await closeAll(shared);
  });

  it('revoked while its descriptors are made is handed nothing', async () => {
    const shared = await share();
    let prepared: () => void = () => undefined;
    shared.transport.prepared = new Promise((resolve) => {
      prepared = resolve;
    });
    const client = await greeted(shared);
    await client.say(LEND);
    const releasing = shared.manager.release(shared.shard);
    await settle();
    prepared();
    await settle();
    expect(client.handed).toEqual([]);
    expect(shared.transport.open).toBe(0);
    expect(client.last('revoked')).toMatchObject({ reason: 'released' });
    expect(await releasing).toMatchObject({ released: true, wiped: true });
    await closeAll(shared);
  });
});

describe('a lease', () => {
  it('is listed whole, from its registration to its end', async () => {
    const shared = await share();
    const client = await shared.transport.connect({ pid: 77 });
    await client.say({ ...HELLO, client: 'vllm' });
    expect(shared.server.leases()).toEqual([]);
    await client.say(LEND);
    const [handing] = shared.server.leases();
    expect(handing).toEqual({
      leaseId: shared.recorder.of('shard.lent')[0]?.leaseId,
      model: 'model',
      client: 'vllm',
      pid: 77,
      uid: client.peer.uid,
      state: 'handing',
      sealIds: [shared.shard.sealId],
    });
    await receive(client);
    expect(shared.server.leases()).toEqual([{ ...handing, state: 'lent' }]);
    await failure(
      shared.manager.drill(shared.shard, { seed: 3 }).then(() => shared.manager.verify(shared.shard)),
    );
    expect(shared.server.leases()).toEqual([{ ...handing, state: 'revoked' }]);
    await client.say({ type: 'end' });
    expect(shared.server.leases()).toEqual([]);
    await closeAll(shared);
  });

  it('reports the age of its verification every 5 s, in whole milliseconds, and not while it is paused', async () => {
    const shared = await share();
    const client = await borrower(shared);
    const ages = (): unknown[] =>
      client.said.filter(({ type }) => type === 'verified').map(({ ageMs }) => ageMs);
    await turn(shared, 4999.5);
    expect(ages()).toEqual([0]);
    await turn(shared, 0.75);
    expect(ages()).toEqual([0, 5001]);
    await shared.manager.drill(shared.shard, { seed: 3 });
    const healing = shared.manager.heal(shared.shard, source());
    await settle();
    expect(shared.server.leases()).toMatchObject([{ state: 'paused' }]);
    await turn(shared, 4999);
    await client.say({ type: 'paused', n: 1 });
    await healing;
    // Healing is not a verification: there is no age again before the next one.
    await turn(shared, 5000);
    expect(ages()).toHaveLength(2);
    await shared.manager.verify(shared.shard);
    await turn(shared, 5000);
    expect(ages()).toHaveLength(3);
    await closeAll(shared);
  });
});

describe('a lease that begins', () => {
  it('is not listed while its shards are still verified', async () => {
    const shared = await share();
    let verified: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      verified = resolve;
    });
    shared.recorder.onEvent = async ({ type }) => {
      if (type === 'seal.verified') await gate;
    };
    const client = await greeted(shared);
    await client.say(LEND);
    expect(shared.recorder.of('seal.verified')).toHaveLength(1);
    expect(shared.server.leases()).toEqual([]);
    verified();
    await settle();
    expect(shared.server.leases()).toMatchObject([{ state: 'handing' }]);
    await client.die();
    await closeAll(shared);
  });

  it('goes on to report ages after a pause that outlasted a report', async () => {
    const shared = await share({ pauseLimitMs: 60_000 });
    const client = await borrower(shared);
    await shared.manager.drill(shared.shard, { seed: 3 });
    const healing = shared.manager.heal(shared.shard, source());
    await settle();
    await turn(shared, 12_000);
    await client.say({ type: 'paused', n: 1 });
    await healing;
    await shared.manager.verify(shared.shard);
    client.said.length = 0;
    await turn(shared, 5000);
    expect(client.types()).toEqual(['verified']);
    await closeAll(shared);
  });

  it('of a seal that does not fit into a line is refused, and the client may ask for another', async () => {
    const shared = await share();
    const files = Array.from({ length: 600 }, (_, index) => ({
      name: `${index}-${'n'.repeat(200)}.safetensors`,
      bytes: rising(64, 3, index),
      tensors: [{ name: `tensor-${index}`, at: 8, length: 16 }],
    }));
    const long = await shared.manager.seal(tensorSource(tensorModel(files)), {
      shardId: 'long',
      share: true,
    });
    shared.server.offer('long', long);
    const client = await greeted(shared);
    await client.say({ type: 'lend', model: 'long' });
    expect(wordsOf(client)).toEqual([
      'INVALID_INPUT',
      'the seal of shard "long" names too many files to fit into a line',
    ]);
    await client.say(LEND);
    await receive(client);
    await closeAll(shared);
  });
});

describe('a server that closes', () => {
  it('tells those without a lease, and those that come later, that it is closing', async () => {
    const shared = await share();
    const idle = await greeted(shared);
    const closing = shared.server.close();
    await settle();
    await closing;
    expect(wordsOf(idle)).toEqual(['STOPPED', 'the server is closing']);
    const late = await shared.transport.connect();
    expect(wordsOf(late)).toEqual(['BUSY', 'the server is closing']);
    expect(late.closed).toBe('server');
    await closeAll(shared);
  });

  it('closes once, and waits for the releases of its clients for releaseLimitMs at most', async () => {
    const shared = await share({ releaseLimitMs: 2000 });
    await borrower(shared);
    let closed = false;
    const closing = shared.server.close().then(() => {
      closed = true;
    });
    await settle();
    await turn(shared, 1999);
    expect(closed).toBe(false);
    await turn(shared, 1);
    expect(closed).toBe(true);
    await closing;
    await shared.server.close();
    await closeAll(shared);
  });

  it('leaves no timer behind once its clients have gone', async () => {
    const shared = await share();
    const client = await borrower(shared);
    const closing = shared.server[Symbol.asyncDispose]();
    await settle();
    expect(client.last('revoked')).toEqual({ type: 'revoked', reason: 'stopped' });
    await client.say({ type: 'end' });
    await closing;
    expect(shared.clock.waiting).toBe(0);
    await closeAll(shared);
  });
});
