import { describe, expect, it } from 'vitest';
import { VramError } from '../../../src/base/index.js';
import { bytesSource } from '../../../src/source/index.js';
import { failure, pattern } from '../manager/fixture.js';
import { BYTES, borrower, closeAll, HELLO, receive, type Shared, share } from './fixture.js';
import { type MemoryClient, settle } from './memory-transport.js';

/** Brings a new client into a state of the protocol. */
const STATES = {
  greeting: async ({ transport }: Shared) => await transport.connect(),
  ready: async ({ transport }: Shared) => {
    const client = await transport.connect();
    await client.say(HELLO);
    return client;
  },
  handing: async ({ transport }: Shared) => {
    const client = await transport.connect();
    await client.say(HELLO);
    await client.say({ type: 'lend', model: 'model' });
    return client;
  },
  lent: async (shared: Shared) => await borrower(shared),
  paused: async (shared: Shared) => {
    const client = await borrower(shared);
    await shared.manager.drill(shared.shard, { seed: 3 });
    const healing = shared.manager.heal(shared.shard, bytesSource(pattern(BYTES)));
    healing.catch(() => undefined);
    await settle();
    if (client.last('pause') === undefined) throw new Error('no pause came');
    return client;
  },
  revoked: async (shared: Shared) => {
    const client = await borrower(shared);
    await shared.manager.drill(shared.shard, { seed: 3 });
    await failure(shared.manager.verify(shared.shard));
    return client;
  },
} as const satisfies Record<string, (shared: Shared) => Promise<MemoryClient>>;

/** What no client sends. */
const GARBAGE: readonly (readonly [string, string | Uint8Array])[] = [
  ['no JSON', 'GET / HTTP/1.1'],
  ['no object', '[1, 2]'],
  ['no UTF-8', Uint8Array.of(0x7b, 0xff, 0xfe, 0x7d)],
  ['an empty line', ''],
  ['half an object', '{"type":"hello","versions":[1],'],
  ['a key twice', '{"type":"end","type":"end"}'],
  ['deep nesting', `{"type":"hello","versions":${'['.repeat(1000)}${']'.repeat(1000)},"client":"x"}`],
  ['an unknown type', '{"type":"shutdown"}'],
  ['a type that every object has', '{"type":"toString"}'],
  ['no type', '{}'],
  ['a lone surrogate', '{"type":"lend","model":"\\ud800"}'],
  ['a control character', '{"type":"lend","model":"a\\u001b[2J"}'],
  ['a name that is too long', JSON.stringify({ type: 'lend', model: 'm'.repeat(300) })],
  ['a negative age', '{"type":"lend","model":"model","maxAgeMs":-1}'],
  ['an age that is not a number', '{"type":"lend","model":"model","maxAgeMs":"1"}'],
  ['an unknown key', '{"type":"lend","model":"model","path":"/etc/shadow"}'],
  ['a fraction for n', '{"type":"paused","n":1.5}'],
  ['an n that was never asked', '{"type":"paused","n":7}'],
  ['a receipt for nothing', '{"type":"received","shardId":"other"}'],
];

describe('hostile clients', () => {
  it.each(GARBAGE)(
    '[SH-004] %s ends the connection with a reason, in every state, and nothing else',
    async (_, line) => {
      const answers: [string, boolean][] = [];
      for (const [state, enter] of Object.entries(STATES)) {
        const shared = await share();
        const other = await shared.manager.seal(bytesSource(pattern(5000, 6)), {
          shardId: 'other',
          share: true,
        });
        shared.server.offer('other', other);
        const good = await borrower(shared, 'other');
        const client = await enter(shared);
        await client.say(line);
        answers.push([state, client.closed === 'server' && client.last('error')?.['code'] === 'PROTOCOL']);
        await client.die();
        expect(good.closed).toBeNull();
        expect((await shared.manager.verify(other)).verified).toBe(true);
        expect(shared.transport.open).toBe(0);
        await good.say({ type: 'end' });
        await shared.manager.close();
      }
      expect(answers).toEqual(answers.map(([state]) => [state, true]));
    },
  );

  it.each(Object.keys(STATES) as (keyof typeof STATES)[])(
    '[SH-004] killed while %s: the lease ends, and the memory is released and overwritten',
    async (state) => {
      const shared = await share();
      const client = await STATES[state](shared);
      await client.die();
      expect(shared.server.leases()).toEqual([]);
      expect(await shared.manager.release(shared.shard)).toMatchObject({ released: true, wiped: true });
      expect(shared.regions.map(({ fate }) => fate)).toEqual(['wiped']);
      expect(shared.transport.open).toBe(0);
      await shared.manager.close();
    },
  );

  it.each(Object.keys(STATES) as (keyof typeof STATES)[])(
    '[SH-002] stopped while %s: nothing waits for it without end, and what it maps is not overwritten',
    async (state) => {
      const shared = await share();
      const client = await STATES[state](shared);
      client.room = 0;
      const mapped = client.handed.length > 0;
      const releasing = shared.manager.release(shared.shard).catch((error: unknown) => error);
      for (let turn = 0; turn < 8; turn++) {
        await settle();
        shared.clock.turn(5000);
      }
      const released = await releasing;
      if (mapped) expect(released).toMatchObject({ code: 'RELEASE_FAILED' });
      else expect(released).toMatchObject({ released: true, wiped: true });
      expect(shared.regions.map(({ fate }) => fate)).toEqual([mapped ? 'abandoned' : 'wiped']);
      await client.die();
      expect(shared.manager.status().orphanedBytes).toBe(0);
      await shared.manager.close();
    },
  );

  it('[SH-003] a client that reads again after a stop is told that its lease was revoked', async () => {
    const shared = await share();
    const client = await borrower(shared);
    client.room = 0;
    await shared.manager.drill(shared.shard, { seed: 3 });
    await failure(shared.manager.verify(shared.shard));
    expect(client.types()).not.toContain('revoked');
    shared.clock.turn(60_000);
    await settle();
    client.room = 5;
    shared.clock.turn(250);
    await settle();
    expect(client.said.at(-1)).toEqual({ type: 'revoked', reason: 'damaged' });
    await closeAll(shared);
  });

  it.each(['line-too-long', 'nul-byte', 'descriptor', 'failed'] as const)(
    '[SH-002] cut off for %s, it may map the memory until its process is gone',
    async (reason) => {
      const shared = await share({ releaseLimitMs: 1000 });
      const client = await borrower(shared);
      await client.drop(reason);
      expect(shared.recorder.of('lease.ended')).toMatchObject([{ how: 'cut' }]);
      const releasing = failure(shared.manager.release(shared.shard));
      await settle();
      shared.clock.turn(1000);
      expect(await releasing).toMatchObject({ code: 'RELEASE_FAILED' });
      expect(shared.regions.map(({ fate }) => fate)).toEqual(['abandoned']);
      await client.die();
      expect(shared.manager.status().orphanedBytes).toBe(0);
      await shared.manager.close();
    },
  );

  it('[SH-004] a million hellos are one too many', async () => {
    const shared = await share();
    const client = await shared.transport.connect();
    for (let hello = 0; hello < 1_000_000 && client.closed === null; hello++) await client.say(HELLO);
    expect(client.said.filter(({ type }) => type === 'welcome')).toHaveLength(1);
    expect(client.last('error')).toMatchObject({ code: 'PROTOCOL' });
    await closeAll(shared);
  });

  it('[SH-004] many connections are bounded, and those without a word are closed in time', async () => {
    const shared = await share();
    const crowd = [];
    for (let index = 0; index < 70; index++) crowd.push(await shared.transport.connect());
    expect(crowd.filter(({ closed }) => closed === null)).toHaveLength(64);
    expect(crowd.at(-1)?.last('error')).toMatchObject({ code: 'BUSY' });
    shared.clock.turn(5000);
    await settle();
    expect(crowd.filter(({ closed }) => closed === null)).toEqual([]);
    expect(crowd[0]?.last('error')).toMatchObject({ code: 'TIMEOUT' });
    expect((await borrower(shared)).types()).toContain('lent');
    await closeAll(shared);
  });

  it('[SH-004] one that never lends, and one that never sends `received`, are given up', async () => {
    const shared = await share();
    const idle = await STATES.ready(shared);
    const mute = await STATES.handing(shared);
    shared.clock.turn(30_000);
    await settle();
    expect(mute.last('error')).toMatchObject({ code: 'TIMEOUT' });
    expect(mute.closed).toBe('server');
    expect(idle.closed).toBeNull();
    shared.clock.turn(30_000);
    await settle();
    expect(idle.last('error')).toMatchObject({ code: 'TIMEOUT' });
    await closeAll(shared);
  });

  it('[SH-004] says too much: a budget of lines ends it, also where each line means nothing', async () => {
    const shared = await share();
    const client = await borrower(shared);
    await shared.manager.drill(shared.shard, { seed: 3 });
    const healing = shared.manager.heal(shared.shard, bytesSource(pattern(BYTES)));
    await settle();
    await client.say({ type: 'paused', n: 1 });
    await healing;
    let lines = 0;
    for (; lines < 1000 && client.closed === null; lines++) await client.say({ type: 'paused', n: 1 });
    expect(client.closed).toBe('server');
    expect(lines).toBeLessThan(70);
    // A client in good standing has ten lines a second for ever.
    const steady = await borrower(shared);
    for (let second = 0; second < 20; second++) {
      shared.clock.turn(1000);
      for (let line = 0; line < 10; line++) await steady.say({ type: 'received', shardId: 'weights' });
      if (steady.closed !== null) break;
    }
    expect(steady.last('error')?.['message']).toBe('"received" is not allowed now');
    await closeAll(shared);
  });

  it('[SH-004] leaves while its shard is verified, or while its descriptors are made: nothing stays open', async () => {
    const shared = await share();
    const { transport } = shared;
    const early = await transport.connect();
    await early.say(HELLO);
    void early.say({ type: 'lend', model: 'model' });
    await early.die();
    let prepared: () => void = () => undefined;
    transport.prepared = new Promise((resolve) => {
      prepared = resolve;
    });
    const late = await transport.connect();
    await late.say(HELLO);
    await late.say({ type: 'lend', model: 'model' });
    await late.die();
    prepared();
    await settle();
    expect(transport.open).toBe(0);
    expect(shared.server.leases()).toEqual([]);
    expect(await shared.manager.release(shared.shard)).toMatchObject({ wiped: true });
    await shared.manager.close();
  });

  it('a driver that exports nothing is told of in words, and the client may ask again', async () => {
    const shared = await share();
    shared.transport.refuse = new VramError('DEVICE_UNAVAILABLE', 'the driver does not export this memory');
    const client = await shared.transport.connect();
    await client.say(HELLO);
    await client.say({ type: 'lend', model: 'model' });
    expect(client.last('error')).toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
    shared.transport.refuse = new Error('/secret/path');
    await client.say({ type: 'lend', model: 'model' });
    expect(JSON.stringify(client.said)).not.toContain('secret');
    shared.transport.refuse = null;
    client.said.length = 0;
    await client.say({ type: 'lend', model: 'model' });
    await receive(client);
    await closeAll(shared);
  });

  it('[SH-004] asks for one lease after another: its user is told to wait, others are served', async () => {
    const shared = await share();
    const { transport, recorder, clock } = shared;
    const lent = (): number => recorder.of('shard.lent').length;
    const another = async (uid: number): Promise<MemoryClient> => {
      const client = await transport.connect({ uid, gid: 77 });
      await client.say(HELLO);
      await client.say({ type: 'lend', model: 'model' });
      return client;
    };
    const user = 0;
    for (let count = 0; count < 256; count++) await (await another(user)).say({ type: 'end' });
    expect(lent()).toBe(256);
    recorder.events.length = 0;
    const late = await another(user);
    const message = 'too many leases in a short time; retry in a second';
    expect(late.last('error')).toMatchObject({ code: 'BUSY', message });
    // Nothing was verified or recorded for it.
    expect(recorder.types().filter((type) => !type.startsWith('lease.'))).toEqual([]);
    await (await another(process.geteuid?.() === 0 ? 1_000 : 0)).say({ type: 'end' });
    clock.turn(1_000);
    await late.say({ type: 'lend', model: 'model' });
    await receive(late);
    expect(late.closed).toBeNull();
    await closeAll(shared);
  });

  it('a name that writes to terminals does not come through', async () => {
    const shared = await share();
    const client = await shared.transport.connect();
    await client.say({ ...HELLO, client: 'x\u001b[2J' });
    expect(client.last('error')).toMatchObject({ code: 'PROTOCOL' });
    const long = await shared.transport.connect();
    await long.say({ ...HELLO, client: 'x'.repeat(129) });
    expect(long.last('error')).toMatchObject({ code: 'PROTOCOL' });
    await closeAll(shared);
  });
});
