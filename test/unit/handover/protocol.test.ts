import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/source/index.js';
import { failure, pattern } from '../manager/fixture.js';
import { BYTES, borrower, closeAll, HELLO, receive, share } from './fixture.js';
import { settle } from './memory-transport.js';

describe('vram-residency/share/1', () => {
  it('[SH-001] greets, verifies, hands over, lends, and tells every 5 s how old the verification is', async () => {
    const shared = await share();
    const { transport, recorder, clock, shard } = shared;
    const client = await transport.connect({ pid: 77 });
    await client.say(HELLO);
    expect(client.said[0]).toEqual({
      type: 'welcome',
      version: 1,
      workerId: 'worker-1',
      instance: expect.stringMatching(/^[0-9a-f]{32}$/),
      device: { uuid: null, migUuid: null, name: shared.device.info.name },
      models: ['model'],
    });
    await client.say({ type: 'lend', model: 'model' });
    expect(recorder.of('seal.verified')).toHaveLength(1);
    expect(client.said[1]).toEqual({
      type: 'shard',
      shardId: 'weights',
      seal: JSON.parse(JSON.stringify(shard)),
      byteLength: BYTES,
      mappedBytes: 16_384,
      verifiedAt: expect.any(String),
    });
    // On record before the memory is handed over, and no lease before the client has it.
    expect(recorder.of('shard.lent')).toMatchObject([
      { shardId: 'weights', sealId: shard.sealId, pid: 77, uid: process.geteuid?.(), client: 'engine' },
    ]);
    expect(client.last('lent')).toBeUndefined();
    await receive(client);
    expect(client.last('lent')).toMatchObject({ leaseId: recorder.of('shard.lent')[0]?.leaseId });
    expect(client.last('verified')).toEqual({ type: 'verified', shardId: 'weights', ageMs: 0 });
    clock.turn(5000);
    await settle();
    expect(client.last('verified')).toEqual({ type: 'verified', shardId: 'weights', ageMs: 5000 });
    expect(client.said.filter(({ type }) => type === 'verified')).toHaveLength(2);
    await client.say({ type: 'end' });
    expect(client.closed).toBe('server');
    expect(recorder.of('lease.ended')).toMatchObject([{ how: 'end', shards: 1, pid: 77, client: 'engine' }]);
    expect(transport.open).toBe(0);
    await closeAll(shared);
  });

  it('lends a sequence of bytes as one U8 tensor over all of it', async () => {
    const shared = await share();
    const client = await borrower(shared);
    const manifest: unknown = JSON.parse(new TextDecoder().decode(client.handed[0]?.manifest));
    expect(manifest).toEqual({
      v: 1,
      files: [{ name: 'weights', byteLength: BYTES }],
      tensors: [
        { name: 'bytes', dtype: 'U8', shape: [BYTES], offset: 0, byteLength: BYTES, file: 0, fileOffset: 0 },
      ],
    });
    const other = await borrower(shared);
    // The same array, so that a transport keeps one copy for all clients.
    expect(other.handed[0]?.manifest).toBe(client.handed[0]?.manifest);
    await closeAll(shared);
  });

  it('hands a model of many shards over one by one, as one lease', async () => {
    const shared = await share();
    const { manager, server, recorder } = shared;
    const shards = [];
    for (let index = 0; index < 5; index++) {
      const place = { shardId: `part-${index}`, modelRef: 'big', shardIndex: index, totalShards: 5 };
      shards.push(await manager.seal(bytesSource(pattern(5000, index + 2)), { ...place, share: true }));
    }
    server.offer('big', shards);
    const client = await borrower(shared, 'big');
    expect(client.said.filter(({ type }) => type === 'shard').map(({ shardId }) => shardId)).toEqual(
      shards.map(({ shardId }) => shardId),
    );
    expect(client.types().slice(-6)).toEqual(['lent', ...Array.from({ length: 5 }, () => 'verified')]);
    expect(new Set(recorder.of('shard.lent').map(({ leaseId }) => leaseId)).size).toBe(1);
    expect(server.leases()).toMatchObject([{ model: 'big', state: 'lent', client: 'engine' }]);
    await client.drop();
    expect(recorder.of('lease.ended')).toMatchObject([{ how: 'closed', shards: 5, shardId: null }]);
    expect(server.leases()).toEqual([]);
    await closeAll(shared);
  });

  it('takes an earlier verification where the client says how old it may be', async () => {
    const shared = await share();
    await shared.manager.verify(shared.shard);
    shared.clock.turn(900);
    const client = await shared.transport.connect();
    await client.say(HELLO);
    await client.say({ type: 'lend', model: 'model', maxAgeMs: 1000 });
    await receive(client);
    expect(shared.recorder.of('seal.verified')).toHaveLength(1);
    expect(client.last('verified')).toMatchObject({ ageMs: 900 });
    await closeAll(shared);
  });

  it('refuses a version it does not speak, and takes one of several', async () => {
    const shared = await share();
    const old = await shared.transport.connect();
    await old.say({ ...HELLO, versions: [2, 3] });
    expect(old.said).toMatchObject([{ type: 'error', code: 'VERSION' }]);
    expect(old.closed).toBe('server');
    const newer = await shared.transport.connect();
    await newer.say({ ...HELLO, versions: [2, 1], features: ['later'] });
    expect(newer.types()).toEqual(['welcome']);
    await closeAll(shared);
  });

  it('[SH-001] answers a model that is not there, and one that is damaged, and lends another afterwards', async () => {
    const shared = await share();
    const { manager, server, transport } = shared;
    const good = await manager.seal(bytesSource(pattern(5000, 9)), { shardId: 'good', share: true });
    server.offer('good', good);
    await manager.drill(shared.shard, { seed: 1 });
    const client = await transport.connect();
    await client.say(HELLO);
    await client.say({ type: 'lend', model: 'nothing' });
    expect(client.last('error')).toMatchObject({ code: 'NOT_FOUND' });
    await client.say({ type: 'lend', model: 'model' });
    expect(client.last('error')).toMatchObject({ code: 'INTEGRITY_VIOLATION' });
    expect(client.handed).toEqual([]);
    // No lease, so none was revoked.
    expect(client.types()).toEqual(['welcome', 'error', 'error']);
    client.said.length = 0;
    await client.say({ type: 'lend', model: 'good' });
    await receive(client);
    expect(client.handed).toHaveLength(1);
    expect(transport.open).toBe(0);
    await closeAll(shared);
  });

  it('[SH-001] lends nothing that is not on record', async () => {
    const shared = await share();
    shared.recorder.refuse = ({ type }) => type === 'shard.lent';
    const client = await shared.transport.connect();
    await client.say(HELLO);
    Object.assign(shared.recorder, { required: true });
    await client.say({ type: 'lend', model: 'model' });
    expect(client.last('error')).toMatchObject({ code: 'AUDIT_FAILED' });
    expect(client.handed).toEqual([]);
    shared.recorder.refuse = () => false;
    await closeAll(shared);
  });

  it('[SH-001] refuses what was not sealed with share, a name that does not fit, and a socket that cannot be', async () => {
    const shared = await share();
    const plain = await shared.manager.seal(bytesSource(pattern(5000, 3)));
    expect(() => shared.server.offer('plain', plain)).toThrow('was not sealed with share');
    expect(() => shared.server.offer('with space', shared.shard)).toThrow('"name" must be');
    expect(() => shared.server.offer('none', [])).toThrow('"shards" must be');
    expect((await failure(share({ socket: 'relative' }))).message).toContain('"socket" must be');
    expect((await failure(share({ socket: `/${'x'.repeat(200)}` }))).message).toContain('"socket" must be');
    expect((await failure(share({ pauseLimitMs: 0 }))).message).toContain('"pauseLimitMs" must be');
    expect((await failure(share({ pauseMs: 5 } as object))).message).toContain('has no option "pauseMs"');
    await closeAll(shared);
  });

  it('[SH-004] lets in its own user and root, and the group where there is one', async () => {
    const uid = process.geteuid?.() ?? 0;
    const shared = await share();
    expect(shared.transport.options).toMatchObject({ mode: 0o600, group: undefined });
    const stranger = await shared.transport.connect({ uid: uid + 1, gid: 5, groups: [7] });
    expect(stranger.said).toMatchObject([{ type: 'error', code: 'FORBIDDEN' }]);
    expect(stranger.closed).toBe('server');
    const grouped = await share({ group: 7 });
    expect(grouped.transport.options).toMatchObject({ mode: 0o660, group: 7 });
    for (const [peer, closed] of [
      [{ uid: uid + 1, gid: 5, groups: [7] }, null],
      [{ uid: uid + 1, gid: 7, groups: [] }, null],
      [{ uid: uid + 1, gid: 5, groups: [8] }, 'server'],
      [{ uid: 65_534, gid: 7, groups: [7] }, 'server'],
      [{ uid: 0, gid: 0, groups: [] }, null],
    ] as const) {
      expect((await grouped.transport.connect(peer)).closed, JSON.stringify(peer)).toBe(closed);
    }
    await closeAll(shared);
    await closeAll(grouped);
  });
});
