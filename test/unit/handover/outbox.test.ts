import { describe, expect, it } from 'vitest';
import type { ServerMessage } from '../../../src/handover/messages.js';
import { Outbox } from '../../../src/handover/outbox.js';
import { TestClock } from '../manager/fixture.js';
import { MemoryClient } from './memory-transport.js';

const pause = (n: number): ServerMessage => ({ type: 'pause', n });
const RESUME: ServerMessage = { type: 'resume', n: 1 };
const VERIFIED: ServerMessage = { type: 'verified', shardId: 'weights', ageMs: 1 };
const TOO_LONG: ServerMessage = { type: 'error', code: 'BUSY', message: 'x'.repeat(65_536) };

function open() {
  const clock = new TestClock();
  const client = new MemoryClient();
  return { clock, client, outbox: new Outbox(client, clock) };
}

describe('Outbox', () => {
  it('sends at once to a client that reads', () => {
    const { clock, client, outbox } = open();
    outbox.must(pause(1));
    outbox.may(VERIFIED);
    outbox.must(RESUME);
    expect(client.said).toEqual([pause(1), VERIFIED, RESUME]);
    expect(clock.waiting).toBe(0);
  });

  it('keeps what a client must not miss, in order, and tries again every 250 ms', () => {
    const { clock, client, outbox } = open();
    client.room = 0;
    outbox.must(pause(1));
    outbox.must(RESUME);
    outbox.may(VERIFIED);
    expect(clock.waiting).toBe(1);
    client.room = 1;
    clock.turn(249);
    expect(client.said).toEqual([]);
    clock.turn(1);
    expect(client.said).toEqual([pause(1)]);
    client.room = 5;
    // A periodic message does not overtake what waits.
    outbox.may(VERIFIED);
    clock.turn(250);
    expect(client.said).toEqual([pause(1), RESUME]);
    expect(clock.waiting).toBe(0);
    outbox.may(VERIFIED);
    expect(client.said.at(-1)).toEqual(VERIFIED);
  });

  it('forgets what waits where the last word no longer lets it matter', () => {
    const { clock, client, outbox } = open();
    client.room = 0;
    outbox.must(pause(1));
    outbox.last({ type: 'revoked', reason: 'damaged' });
    client.room = 5;
    clock.turn(250);
    expect(client.types()).toEqual(['revoked']);
  });

  it('sends nothing that does not fit into a line', () => {
    const { client, outbox } = open();
    outbox.must(TOO_LONG);
    outbox.may(TOO_LONG);
    expect(client.said).toEqual([]);
  });

  it('sends nothing once it is closed, and stops its timer', () => {
    const { clock, client, outbox } = open();
    client.room = 0;
    outbox.must(pause(1));
    outbox.close();
    expect(clock.waiting).toBe(0);
    client.room = 5;
    clock.turn(1000);
    outbox.must(RESUME);
    outbox.may(VERIFIED);
    expect(client.said).toEqual([]);
  });
});
