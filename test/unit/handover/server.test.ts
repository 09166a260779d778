import { describe, expect, it } from 'vitest';
import { failure } from '../manager/fixture.js';
import { closeAll, share } from './fixture.js';

const LONGEST = `/${'x'.repeat(106)}`;
const WORDS = '"socket" must be an absolute path of at most 107 characters';
const LARGEST_ID = 2 ** 32 - 2;
const ID = `must be an integer from 0 to ${LARGEST_ID}`;

describe('a share server', () => {
  it.each<[string, object]>([
    [WORDS, { socket: 5 }],
    [WORDS, { socket: '' }],
    [WORDS, { socket: 'run/share.sock' }],
    [WORDS, { socket: `${LONGEST}x` }],
    [`"group" ${ID}, got -1`, { group: -1 }],
    [`"group" ${ID}, got ${LARGEST_ID + 1}`, { group: LARGEST_ID + 1 }],
    [`"trustOwner" ${ID}, got -1`, { trustOwner: -1 }],
    [`"trustOwner" ${ID}, got ${LARGEST_ID + 1}`, { trustOwner: LARGEST_ID + 1 }],
    ['"pauseLimitMs" must be an integer from 1 to 3600000, got 0', { pauseLimitMs: 0 }],
    ['"pauseLimitMs" must be an integer from 1 to 3600000, got 3600001', { pauseLimitMs: 3_600_001 }],
    ['"releaseLimitMs" must be an integer from 1 to 3600000, got 0', { releaseLimitMs: 0 }],
    ['"releaseLimitMs" must be an integer from 1 to 3600000, got 3600001', { releaseLimitMs: 3_600_001 }],
  ])('does not listen where %s', async (message, options) => {
    expect(await failure(share(options))).toMatchObject({ code: 'INVALID_INPUT', message });
  });

  it('refuses an option that it does not have', async () => {
    const options: object = { pauseMs: 5 };
    expect((await failure(share(options))).message).toBe(
      '"options" has no option "pauseMs"; it takes pauseLimitMs, releaseLimitMs, socket, group, trustOwner, models',
    );
  });

  it('hands its transport the path, the owner to trust, and a mode that fits the group', async () => {
    for (const options of [
      { socket: LONGEST },
      { socket: LONGEST, group: 0, trustOwner: 0 },
      { socket: LONGEST, group: LARGEST_ID, trustOwner: LARGEST_ID },
    ]) {
      const shared = await share(options);
      expect(shared.transport.options).toMatchObject({
        path: LONGEST,
        mode: 'group' in options ? 0o660 : 0o600,
        group: options.group,
        trustOwner: options.trustOwner,
        maxLineBytes: 65_536,
      });
      await closeAll(shared);
    }
  });

  it('offers what it is given, until that is withdrawn', async () => {
    const shared = await share();
    const { server, shard } = shared;
    expect(server.models).toEqual(['model']);
    server.offer('second', [shard]);
    expect(server.models).toEqual(['model', 'second']);
    expect(server.withdraw('model')).toBe(true);
    expect(server.withdraw('model')).toBe(false);
    expect(server.models).toEqual(['second']);
    await closeAll(shared);
    const none = await share({ models: undefined });
    expect(none.server.models).toEqual([]);
    await closeAll(none);
  });

  it('takes 64 clients at once; the next one takes a place that has become free', async () => {
    const shared = await share();
    const clients = [];
    for (let index = 0; index < 64; index++) clients.push(await shared.transport.connect());
    expect(clients.every(({ closed }) => closed === null)).toBe(true);
    const refused = await shared.transport.connect();
    expect(refused.said).toEqual([{ type: 'error', code: 'BUSY', message: 'there are 64 clients already' }]);
    await clients[0]?.drop();
    expect((await shared.transport.connect()).closed).toBeNull();
    await closeAll(shared);
  });
});
