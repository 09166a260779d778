import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/source/index.js';
import { failure, pattern } from '../manager/fixture.js';
import { BYTES, borrower, closeAll, HELLO, receive, type Shared, share } from './fixture.js';
import { settle } from './memory-transport.js';

const source = () => bytesSource(pattern(BYTES));

/** Flips a bit of the sealed shard. */
async function damage({ manager, shard }: Shared): Promise<void> {
  await manager.drill(shard, { seed: 3 });
}

describe('damage under a lease', () => {
  it('[SH-003] is told at once as revoked, and the shard is lent again once it is healed', async () => {
    const shared = await share();
    const client = await borrower(shared);
    await damage(shared);
    expect(await failure(shared.manager.verify(shared.shard))).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(client.said.at(-1)).toEqual({ type: 'revoked', reason: 'damaged' });
    expect(shared.recorder.of('lease.revoked')).toMatchObject([
      { reason: 'damaged', shards: 1, client: 'engine' },
    ]);
    // No age is told of a lease that ended.
    shared.clock.turn(20_000);
    await settle();
    expect(client.said.at(-1)).toEqual({ type: 'revoked', reason: 'damaged' });
    await shared.manager.heal(shared.shard, source());
    const again = await borrower(shared);
    expect(again.types()).toContain('lent');
    await client.say({ type: 'end' });
    expect(shared.recorder.of('lease.ended')).toMatchObject([{ how: 'end' }]);
    await closeAll(shared);
  });

  it('[SH-003] that only healing finds pauses first, patches, and resumes', async () => {
    const shared = await share();
    const client = await borrower(shared);
    await damage(shared);
    let healed = false;
    const healing = shared.manager.heal(shared.shard, source()).then((report) => {
      healed = true;
      return report;
    });
    await settle();
    expect(client.said.at(-1)).toEqual({ type: 'pause', n: 1 });
    await settle();
    expect(healed).toBe(false);
    expect(shared.server.leases()).toMatchObject([{ state: 'paused' }]);
    await client.say({ type: 'paused', n: 1 });
    expect((await healing).healedBlocks).toBe(1);
    expect(client.said.at(-1)).toEqual({ type: 'resume', n: 1 });
    expect(shared.recorder.of('lease.revoked')).toEqual([]);
    // The next pause has a number of its own; an answer to the one before says nothing.
    await damage(shared);
    const second = shared.manager.heal(shared.shard, source());
    await settle();
    expect(client.said.at(-1)).toEqual({ type: 'pause', n: 2 });
    await client.say({ type: 'paused', n: 1 });
    expect(client.said.at(-1)).toEqual({ type: 'pause', n: 2 });
    await client.say({ type: 'paused', n: 2 });
    await second;
    expect(client.said.at(-1)).toEqual({ type: 'resume', n: 2 });
    await closeAll(shared);
  });

  it('asks nobody where healing finds nothing to patch', async () => {
    const shared = await share();
    const client = await borrower(shared);
    expect((await shared.manager.heal(shared.shard, source())).healedBlocks).toBe(0);
    expect(client.types()).not.toContain('pause');
    await closeAll(shared);
  });

  it('[SH-003] is healed all the same where a client does not answer: it is revoked first', async () => {
    const shared = await share({ pauseLimitMs: 700 });
    const client = await borrower(shared);
    await damage(shared);
    const healing = shared.manager.heal(shared.shard, source());
    await settle();
    shared.clock.turn(699);
    await settle();
    expect(client.said.at(-1)).toEqual({ type: 'pause', n: 1 });
    shared.clock.turn(1);
    expect((await healing).healedBlocks).toBe(1);
    expect(client.said.at(-1)).toEqual({ type: 'revoked', reason: 'damaged' });
    // Too late.
    await client.say({ type: 'paused', n: 1 });
    expect(client.closed).toBeNull();
    await closeAll(shared);
  });

  it('[SH-003] revokes whoever waited for a healing that failed', async () => {
    const shared = await share();
    const client = await borrower(shared);
    await damage(shared);
    const healing = failure(shared.manager.heal(shared.shard, bytesSource(pattern(BYTES, 8))));
    await settle();
    await client.say({ type: 'paused', n: 1 });
    expect(await healing).toMatchObject({ code: 'SOURCE_MISMATCH' });
    expect(client.said.at(-1)).toEqual({ type: 'revoked', reason: 'damaged' });
    await closeAll(shared);
  });

  it('holds `lent` back until a healing under way has ended', async () => {
    const shared = await share();
    const client = await shared.transport.connect();
    await client.say(HELLO);
    await client.say({ type: 'lend', model: 'model' });
    await damage(shared);
    // It waits for the shard alone, which nobody holds: the client has not answered for the memory yet.
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const slow = {
      ...source(),
      readRange: async (offset: number, length: number) => {
        await gate;
        return pattern(BYTES).slice(offset, offset + length);
      },
    };
    const healing = shared.manager.heal(shared.shard, slow);
    await settle();
    await client.say({ type: 'received', shardId: 'weights' });
    expect(client.types()).not.toContain('lent');
    release();
    await healing;
    await settle();
    expect(client.types()).toContain('lent');
    expect(client.types()).not.toContain('pause');
    await closeAll(shared);
  });

  it('found by a scrubber that heals: revoked, then healed', async () => {
    const shared = await share();
    const reopen = async () => source();
    const shard = await shared.manager.seal(source(), { shardId: 'scrubbed', share: true, reopen });
    shared.server.offer('scrubbed', shard);
    const client = await borrower(shared, 'scrubbed');
    await shared.manager.drill(shard, { seed: 5 });
    const scrubber = shared.manager.scrub({ intervalMs: 1, bytesPerSecond: 2 ** 40, heal: true });
    await expect.poll(() => shared.recorder.of('shard.healed').length).toBe(1);
    await scrubber.stop();
    expect(client.said.at(-1)).toEqual({ type: 'revoked', reason: 'damaged' });
    await closeAll(shared);
  });
});

describe('release under a lease', () => {
  it('[SH-002] waits for the client to let go, and only then overwrites', async () => {
    const shared = await share();
    const client = await borrower(shared);
    const releasing = shared.manager.release(shared.shard);
    await settle();
    expect(client.said.at(-1)).toEqual({ type: 'revoked', reason: 'released' });
    expect(shared.regions[0]?.fate).toBe('held');
    await client.say({ type: 'end' });
    expect(await releasing).toMatchObject({ released: true, wiped: true });
    expect(shared.regions[0]?.fate).toBe('wiped');
    expect(shared.manager.status().orphanedBytes).toBe(0);
    await closeAll(shared);
  });

  it('[SH-002] never overwrites memory that a client maps: after the limit it is abandoned and reported', async () => {
    const shared = await share({ releaseLimitMs: 2000 }, { options: { budgetBytes: 2 ** 20 } });
    const { manager, recorder } = shared;
    const client = await borrower(shared);
    const before = await manager.capacity();
    const releasing = failure(manager.release(shared.shard));
    await settle();
    shared.clock.turn(1999);
    await settle();
    expect(shared.regions[0]?.fate).toBe('held');
    shared.clock.turn(1);
    const error = await releasing;
    expect(error).toMatchObject({ code: 'RELEASE_FAILED' });
    expect(error.message).toContain('4242');
    expect(shared.regions[0]?.fate).toBe('abandoned');
    expect(manager.status()).toMatchObject({ orphanedBytes: 16_384, liveShards: 0 });
    expect(recorder.of('vram.deallocated')).toMatchObject([
      { freedBytes: 0, usedBytes: 16_384, wiped: false, error: { code: 'RELEASE_FAILED' } },
    ]);
    // The budget still counts it.
    expect((await manager.capacity()).availableBytes).toBe(before.availableBytes);
    await client.die();
    expect(manager.status().orphanedBytes).toBe(0);
    expect((await manager.capacity()).availableBytes).toBe((before.availableBytes ?? 0) + 16_384);
    expect(recorder.of('vram.deallocated').at(-1)).toMatchObject({
      freedBytes: 16_384,
      usedBytes: 0,
      error: null,
    });
    await closeAll(shared);
  });

  it('[SH-002] counts orphaned bytes until a client in another PID namespace closes its connection', async () => {
    const shared = await share();
    const client = await shared.transport.connect({ pid: null });
    await client.say(HELLO);
    await client.say({ type: 'lend', model: 'model' });
    await receive(client);
    expect(shared.recorder.of('shard.lent')).toMatchObject([{ pid: null }]);
    const releasing = failure(shared.manager.release(shared.shard));
    await settle();
    shared.clock.turn(30_000);
    expect((await releasing).message).toContain('unknown (another PID namespace)');
    expect(shared.manager.status().orphanedBytes).toBe(16_384);
    await client.drop();
    expect(shared.manager.status().orphanedBytes).toBe(0);
    await closeAll(shared);
  });

  it('says `replaced` where another generation took the name', async () => {
    const shared = await share();
    const client = await borrower(shared);
    const next = await shared.manager.seal(bytesSource(pattern(5000, 4)), { shardId: 'next', share: true });
    shared.server.offer('model', next);
    // The old lease goes on, new clients get the new one.
    expect(client.types()).not.toContain('revoked');
    const other = await borrower(shared);
    expect(other.said.find(({ type }) => type === 'shard')).toMatchObject({ shardId: 'next' });
    const releasing = shared.manager.release(shared.shard);
    await settle();
    expect(client.said.at(-1)).toEqual({ type: 'revoked', reason: 'replaced' });
    await client.say({ type: 'end' });
    await releasing;
    expect(other.types()).not.toContain('revoked');
    await closeAll(shared);
  });

  it('by close() of server and manager waits once for all of them, and says `stopped`', async () => {
    const shared = await share();
    const clients = [await borrower(shared), await borrower(shared)];
    const idle = await shared.transport.connect();
    await idle.say(HELLO);
    const closing = shared.server.close();
    await settle();
    expect(idle.closed).toBe('server');
    expect(shared.transport.listening).toBe(false);
    for (const client of clients) expect(client.said.at(-1)).toEqual({ type: 'revoked', reason: 'stopped' });
    await clients[0]?.say({ type: 'end' });
    await clients[1]?.say({ type: 'end' });
    await closing;
    await shared.manager.close();
    expect(shared.regions.map(({ fate }) => fate)).toEqual(['wiped']);
  });

  it('of a manager that stops, or closes, tells every lease', async () => {
    const shared = await share({}, { options: { onVerificationFailure: 'stop' } });
    const other = await shared.manager.seal(bytesSource(pattern(5000, 6)), { shardId: 'other', share: true });
    shared.server.offer('other', other);
    const damaged = await borrower(shared);
    const bystander = await borrower(shared, 'other');
    await damage(shared);
    await failure(shared.manager.verify(shared.shard));
    expect(damaged.said.at(-1)).toEqual({ type: 'revoked', reason: 'damaged' });
    expect(bystander.said.at(-1)).toEqual({ type: 'revoked', reason: 'stopped' });
    await closeAll(shared);
    expect(shared.regions.map(({ fate }) => fate)).toEqual(['abandoned', 'abandoned']);
  });
});
