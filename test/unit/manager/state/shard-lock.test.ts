import { describe, expect, it } from 'vitest';
import { type Hold, ShardLock } from '../../../../src/manager/state/shard-lock.js';
import { failure, overlay } from '../fixture.js';

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 3));

const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

/** Takes holds by name and keeps them until told to let go. */
class Holders {
  readonly lock = new ShardLock();
  readonly log: string[] = [];
  readonly #letGo = new Map<string, () => void>();
  readonly #done: Promise<unknown>[] = [];

  take(name: string, hold: Hold, signal?: AbortSignal): Promise<unknown> {
    const done = this.lock.with(hold, signal, () => {
      this.log.push(name);
      return new Promise<void>((resolve) => this.#letGo.set(name, resolve));
    });
    this.#done.push(done.catch(() => undefined));
    return done;
  }

  async letGo(...names: string[]): Promise<void> {
    for (const name of names) this.#letGo.get(name)?.();
    await tick();
  }
}

describe('the shard lock', () => {
  it('keeps no listener on a signal once a waiter was admitted or has given up', async () => {
    const lock = new ShardLock();
    let listeners = 0;
    const aborting = new AbortController();
    const signal = overlay(aborting.signal, {
      addEventListener: (...args: Parameters<AbortSignal['addEventListener']>) => {
        listeners++;
        aborting.signal.addEventListener(...args);
      },
      removeEventListener: (...args: Parameters<AbortSignal['removeEventListener']>) => {
        listeners--;
        aborting.signal.removeEventListener(...args);
      },
    });
    let letGo: () => void = () => undefined;
    const first = lock.with('exclusive', undefined, () => new Promise<void>((resolve) => (letGo = resolve)));
    const second = lock.with('exclusive', signal, async () => listeners);
    await soon();
    expect(listeners).toBe(1);
    letGo();
    await first;
    expect(await second).toBe(0);
    aborting.abort();
    expect(await lock.with('exclusive', undefined, async () => 'free')).toBe('free');
  });

  it('a free lock is taken at once: leases do not wait for each other, verifications neither', async () => {
    const lock = new ShardLock();
    const order: string[] = [];
    await lock.with('lease', undefined, async () => {
      await lock.with('lease', undefined, async () => void order.push('lease'));
      await lock.with('verify', undefined, async () => {
        await lock.with('verify', undefined, async () => void order.push('verify'));
      });
    });
    expect(order).toEqual(['lease', 'verify']);
  });

  it('a verification does not pass a waiting writer where other verifications alone run, nor a lease ever', async () => {
    for (const [running, late] of [
      ['verify', 'verify'],
      ['lease', 'lease'],
    ] as const) {
      const lock = new ShardLock();
      const order: string[] = [];
      let letGo: () => void = () => undefined;
      const all = [lock.with(running, undefined, () => new Promise<void>((resolve) => (letGo = resolve)))];
      await soon();
      all.push(lock.with('exclusive', undefined, async () => void order.push('writer')));
      all.push(lock.with(late, undefined, async () => void order.push(late)));
      await soon();
      expect(order).toEqual([]);
      letGo();
      await Promise.all(all);
      expect(order).toEqual(['writer', late]);
    }
  });

  it('one that gives up in the middle of the queue leaves the others in their order', async () => {
    const lock = new ShardLock();
    const order: string[] = [];
    let letGo: () => void = () => undefined;
    const aborting = new AbortController();
    const first = lock.with('exclusive', undefined, () => new Promise<void>((resolve) => (letGo = resolve)));
    const second = lock.with('exclusive', undefined, async () => void order.push('second'));
    const third = failure(lock.with('exclusive', aborting.signal, async () => void order.push('third')));
    const fourth = lock.with('exclusive', undefined, async () => void order.push('fourth'));
    await soon();
    aborting.abort();
    expect(await third).toMatchObject({ code: 'ABORTED' });
    expect(order).toEqual([]);
    letGo();
    await Promise.all([first, second, fourth]);
    expect(order).toEqual(['second', 'fourth']);
  });
});

describe('shard lock', () => {
  it('verifications and leases share; an exclusive hold waits for all and keeps all out', async () => {
    const holders = new Holders();
    void holders.take('v1', 'verify');
    void holders.take('l1', 'lease');
    void holders.take('v2', 'verify');
    void holders.take('x1', 'exclusive');
    void holders.take('l2', 'lease');
    await tick();
    expect(holders.log).toEqual(['v1', 'l1', 'v2']);
    await holders.letGo('v1', 'l1');
    expect(holders.log).toEqual(['v1', 'l1', 'v2']);
    await holders.letGo('v2');
    expect(holders.log).toEqual(['v1', 'l1', 'v2', 'x1']);
    await holders.letGo('x1');
    expect(holders.log).toEqual(['v1', 'l1', 'v2', 'x1', 'l2']);
    await holders.letGo('l2');
  });

  it('verifications pass a waiting writer while a lease runs, and only then', async () => {
    const holders = new Holders();
    void holders.take('l1', 'lease');
    void holders.take('x1', 'exclusive');
    void holders.take('v1', 'verify');
    await tick();
    expect(holders.log).toEqual(['l1', 'v1']);
    await holders.letGo('l1');
    void holders.take('v2', 'verify');
    await tick();
    expect(holders.log).toEqual(['l1', 'v1']);
    await holders.letGo('v1');
    expect(holders.log).toEqual(['l1', 'v1', 'x1']);
    await holders.letGo('x1');
    expect(holders.log.at(-1)).toBe('v2');
  });

  it('writers take turns', async () => {
    const holders = new Holders();
    for (const name of ['x1', 'x2', 'x3']) void holders.take(name, 'exclusive');
    await tick();
    expect(holders.log).toEqual(['x1']);
    await holders.letGo('x1');
    expect(holders.log).toEqual(['x1', 'x2']);
    await holders.letGo('x2');
    expect(holders.log).toEqual(['x1', 'x2', 'x3']);
  });

  it('a waiter that gives up lets those behind it pass', async () => {
    const holders = new Holders();
    const aborting = new AbortController();
    void holders.take('l1', 'lease');
    const waiting = holders.take('x1', 'exclusive', aborting.signal);
    void holders.take('l2', 'lease');
    await tick();
    expect(holders.log).toEqual(['l1']);
    aborting.abort('no');
    expect(await failure(waiting)).toMatchObject({ code: 'ABORTED', cause: 'no' });
    expect(holders.log).toEqual(['l1', 'l2']);
    await holders.letGo('l1', 'l2');
    void holders.take('x2', 'exclusive');
    await tick();
    expect(holders.log.at(-1)).toBe('x2');
  });

  it('refuses a signal that has fired, and lets go when the work fails', async () => {
    const holders = new Holders();
    expect(await failure(holders.lock.with('lease', AbortSignal.abort(), async () => 1))).toMatchObject({
      code: 'ABORTED',
    });
    const broken = holders.lock.with('exclusive', undefined, () => Promise.reject(new Error('broken')));
    expect((await failure(broken)).message).toBe('broken');
    expect(await holders.lock.with('exclusive', undefined, async () => 5)).toBe(5);
  });
});
