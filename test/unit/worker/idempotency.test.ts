import { describe, expect, it } from 'vitest';
import { Idempotency } from '../../../src/worker/http/idempotency.js';
import { TestClock } from '../manager/fixture.js';

const DAY_MS = 24 * 3_600_000;
const about = (body = '{}') => ({ caller: 'abc123', route: 'POST /v1/models', body });
const answer = (body: string) => async () => ({ status: 200, body });

describe('answers kept for idempotency keys', () => {
  it('take no more than so many bytes together, however few they are, until the oldest are too old', async () => {
    const clock = new TestClock();
    const kept = new Idempotency(clock, 100);
    await kept.once('a', about(), answer('x'.repeat(60)));
    await kept.once('b', about(), answer('\u00e9'.repeat(20)));
    await expect(kept.once('c', about(), answer(''))).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    // Those that are kept are still given.
    expect(await kept.once('a', about(), answer('other'))).toEqual({ status: 200, body: 'x'.repeat(60) });
    clock.turn(DAY_MS);
    expect(await kept.once('c', about(), answer('new'))).toEqual({ status: 200, body: 'new' });
    expect(await kept.once('d', about(), answer('x'.repeat(97)))).toMatchObject({ status: 200 });
    await expect(kept.once('e', about(), answer(''))).rejects.toMatchObject({ code: 'QUEUE_FULL' });
  });

  it('take no more than 64 MiB unless told otherwise', async () => {
    const kept = new Idempotency(new TestClock());
    await kept.once('a', about(), answer('x'.repeat(64 * 2 ** 20 - 1)));
    await kept.once('b', about(), answer('x'));
    await expect(kept.once('c', about(), answer(''))).rejects.toMatchObject({ code: 'QUEUE_FULL' });
  });

  it('do not count an answer that comes when its key is no longer kept', async () => {
    const clock = new TestClock();
    const kept = new Idempotency(clock, 10);
    let give: (answer: { status: number; body: string }) => void = () => undefined;
    const slow = kept.once('slow', about(), () => new Promise((resolve) => (give = resolve)));
    clock.turn(DAY_MS);
    await kept.once('a', about(), answer('1'));
    give({ status: 200, body: 'x'.repeat(50) });
    expect(await slow).toMatchObject({ body: 'x'.repeat(50) });
    expect(await kept.once('b', about(), answer('2'))).toMatchObject({ body: '2' });
  });

  it('do not count orders that were refused', async () => {
    const kept = new Idempotency(new TestClock(), 1);
    for (const key of ['a', 'b']) {
      const refused = kept.once(key, about(), () => Promise.reject(new Error('no')));
      await expect(refused).rejects.toThrow('no');
    }
    expect(await kept.once('a', about('other'), answer('yes'))).toMatchObject({ body: 'yes' });
  });

  it('are for one caller, one route and one body', async () => {
    const kept = new Idempotency(new TestClock());
    expect(await kept.once('k', about(), answer('first'))).toMatchObject({ body: 'first' });
    expect(await kept.once('k', { ...about(), caller: 'def456' }, answer('second'))).toMatchObject({
      body: 'second',
    });
    expect(await kept.once('k', { ...about(), route: 'POST /v1/plan' }, answer('third'))).toMatchObject({
      body: 'third',
    });
    await expect(kept.once('k', about('{"other":1}'), answer('fourth'))).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      status: 409,
      message: '"Idempotency-Key" was used for another request; use a new one',
    });
  });

  it('are waited for by a request that comes again meanwhile', async () => {
    const kept = new Idempotency(new TestClock());
    let give: (answer: { status: number; body: string }) => void = () => undefined;
    const first = kept.once('k', about(), () => new Promise((resolve) => (give = resolve)));
    const again = kept.once('k', about(), answer('twice'));
    give({ status: 202, body: 'once' });
    expect(await Promise.all([first, again])).toEqual([
      { status: 202, body: 'once' },
      { status: 202, body: 'once' },
    ]);
  });

  it('are kept for a day, to its last millisecond', async () => {
    const clock = new TestClock();
    const kept = new Idempotency(clock);
    await kept.once('k', about(), answer('old'));
    clock.turn(DAY_MS - 1);
    expect(await kept.once('k', about(), answer('new'))).toMatchObject({ body: 'old' });
    clock.turn(1);
    expect(await kept.once('k', about(), answer('new'))).toMatchObject({ body: 'new' });
  });

  it('are 10,000 at most', async () => {
    const kept = new Idempotency(new TestClock());
    for (let number = 0; number < 10_000; number++) await kept.once(`k${number}`, about(), answer(''));
    await expect(kept.once('more', about(), answer(''))).rejects.toMatchObject({
      code: 'QUEUE_FULL',
      message: expect.stringContaining('omit the header, or wait'),
    });
  });

  it.each(['!', '~', 'x'.repeat(255)])('take the key %j', async (key) => {
    expect(await new Idempotency(new TestClock()).once(key, about(), answer('yes'))).toMatchObject({
      body: 'yes',
    });
  });

  it.each(['', ' ', 'a b', 'a\n', 'a\u007f', '\u00e9', 'x'.repeat(256)])('refuse the key %j', async (key) => {
    await expect(new Idempotency(new TestClock()).once(key, about(), answer('no'))).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message: '"Idempotency-Key" must be 1 to 255 printable characters',
    });
  });
});
