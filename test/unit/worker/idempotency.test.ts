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

  it('do not count orders that were refused', async () => {
    const kept = new Idempotency(new TestClock(), 1);
    for (const key of ['a', 'b']) {
      const refused = kept.once(key, about(), () => Promise.reject(new Error('no')));
      await expect(refused).rejects.toThrow('no');
    }
    expect(await kept.once('a', about('other'), answer('yes'))).toMatchObject({ body: 'yes' });
  });
});
