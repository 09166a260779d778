import { describe, expect, it } from 'vitest';
import { EventLog } from '../../../src/worker/common/index.js';
import { TestClock } from '../manager/fixture.js';

interface Draft {
  readonly type: string;
}

function log(limits = { events: 3, bytes: 100 }) {
  return new EventLog<Draft>(new TestClock(), limits);
}

/** The ids that a reader gets until the log ends or fails. */
async function follow(events: EventLog<Draft>, afterId: number, signal = AbortSignal.timeout(5_000)) {
  const ids: number[] = [];
  try {
    for await (const { id } of events.follow(afterId, signal)) ids.push(id);
    return { ids, error: null };
  } catch (error) {
    return { ids, error };
  }
}

const EXPIRED = (upTo: number) =>
  expect.objectContaining({
    code: 'EVENTS_EXPIRED',
    message: `events up to ${upTo} are no longer stored; read the state again`,
  });

describe('a log of events', () => {
  it('numbers and dates them, from 1', () => {
    const events = log();
    expect(events.lastId).toBe(0);
    expect(events.append({ type: 'a' })).toEqual({ type: 'a', id: 1, at: '2026-01-02T03:04:05.678Z' });
    expect(events.append({ type: 'b' })).toMatchObject({ id: 2 });
    expect(events.lastId).toBe(2);
  });

  it('gives a reader what stands behind its place, then what comes, until the end', async () => {
    const events = log();
    events.append({ type: 'a' });
    events.append({ type: 'b' });
    const readers = [follow(events, 0), follow(events, 1), follow(events, 2)];
    await Promise.resolve();
    events.append({ type: 'c' });
    events.end();
    expect(await Promise.all(readers)).toEqual([
      { ids: [1, 2, 3], error: null },
      { ids: [2, 3], error: null },
      { ids: [3], error: null },
    ]);
    // A place that is not reached yet is the last one there is.
    expect(await follow(events, 99)).toEqual({ ids: [], error: null });
  });

  it('ends for a reader whose signal fires, before or while it waits', async () => {
    const events = log();
    events.append({ type: 'a' });
    const leave = new AbortController();
    const waiting = follow(events, 1, leave.signal);
    await new Promise((resolve) => setImmediate(resolve));
    leave.abort();
    expect(await waiting).toEqual({ ids: [], error: null });
    expect(await follow(events, 0, leave.signal)).toEqual({ ids: [], error: null });
  });

  it('keeps the newest, as many as allowed', async () => {
    const events = log();
    for (const type of ['a', 'b', 'c', 'd']) events.append({ type });
    expect(() => events.requireKept(0)).toThrow(EXPIRED(1));
    events.requireKept(1);
    expect(await follow(events, 0)).toEqual({ ids: [], error: EXPIRED(1) });
  });

  it('keeps 10,000 of any size unless told otherwise', () => {
    const events = new EventLog<Draft>(new TestClock());
    for (let count = 0; count < 10_000; count++) events.append({ type: 'a' }, 2 ** 40);
    events.requireKept(0);
    events.append({ type: 'b' });
    expect(() => events.requireKept(0)).toThrow(EXPIRED(1));
    events.requireKept(1);
  });

  it('wakes a reader that waits when all is forgotten, or the log ends', async () => {
    const events = log();
    events.append({ type: 'a' });
    const waiting = [follow(events, 1), follow(events, 1)];
    await new Promise((resolve) => setImmediate(resolve));
    events.forget();
    await new Promise((resolve) => setImmediate(resolve));
    events.append({ type: 'b' });
    await new Promise((resolve) => setImmediate(resolve));
    events.end();
    expect(await Promise.all(waiting)).toEqual([
      { ids: [2], error: null },
      { ids: [2], error: null },
    ]);
  });

  it('keeps as many bytes as allowed, the newest event in any case', () => {
    const events = log();
    events.append({ type: 'a' }, 60);
    events.append({ type: 'b' }, 40);
    expect(events.bytes).toBe(100);
    events.requireKept(0);
    events.append({ type: 'c' }, 1);
    expect(events.bytes).toBe(41);
    expect(() => events.requireKept(0)).toThrow(EXPIRED(1));
    events.append({ type: 'd' }, 500);
    expect(events.bytes).toBe(500);
    events.requireKept(3);
    expect(() => events.requireKept(2)).toThrow(EXPIRED(3));
  });

  it('fails for a reader who is too slow, and for one who waits when all is forgotten', async () => {
    const events = log();
    events.append({ type: 'a' });
    const reader = events.follow(0, AbortSignal.timeout(5_000));
    expect((await reader.next()).value).toMatchObject({ id: 1 });
    for (let count = 0; count < 5; count++) events.append({ type: 'b' });
    await expect(reader.next()).rejects.toEqual(EXPIRED(3));
    events.forget();
    expect(events.bytes).toBe(0);
    expect(() => events.requireKept(5)).toThrow(EXPIRED(6));
    events.requireKept(6);
  });
});
