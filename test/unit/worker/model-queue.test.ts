import { describe, expect, it } from 'vitest';
import { ModelQueue } from '../../../src/worker/executions/model-queue.js';
import { settle } from '../handover/memory-transport.js';

/** What runs in the queue until it is told to end. */
class Job {
  readonly done: Promise<void>;
  readonly leave = new AbortController();
  started = false;
  finish: () => void = () => undefined;
  fail: (error: Error) => void = () => undefined;

  constructor(queue: ModelQueue, most: number) {
    const ended = new Promise<void>((resolve, reject) => {
      this.finish = resolve;
      this.fail = reject;
    });
    this.done = queue.enter(most, this.leave.signal, () => {
      this.started = true;
      return ended;
    });
  }
}

function enter(queue: ModelQueue, most: number): Job {
  return new Job(queue, most);
}

function began(jobs: readonly Job[]): boolean[] {
  return jobs.map(({ started }) => started);
}

describe('the queue of a model', () => {
  it('runs so many at a time, the others in the order in which they came', async () => {
    const queue = new ModelQueue(10);
    const jobs = [0, 1, 2, 3].map(() => enter(queue, 2));
    const [first, second, third, fourth] = jobs;
    expect(began(jobs)).toEqual([true, true, false, false]);
    expect([queue.running, queue.waiting]).toEqual([2, 2]);
    second?.finish();
    await second?.done;
    await settle();
    expect(began(jobs)).toEqual([true, true, true, false]);
    first?.finish();
    third?.finish();
    await settle();
    expect(fourth?.started).toBe(true);
    fourth?.finish();
    await Promise.all(jobs.map(({ done }) => done));
    expect([queue.running, queue.waiting]).toEqual([0, 0]);
  });

  it('is strict: who may run with many others does not pass one who waits to run alone', async () => {
    const queue = new ModelQueue(10);
    const running = enter(queue, 2);
    const alone = enter(queue, 1);
    const many = enter(queue, 5);
    expect(began([running, alone, many])).toEqual([true, false, false]);
    running.finish();
    await settle();
    expect(began([alone, many])).toEqual([true, true]);
    for (const job of [alone, many]) job.finish();
    await settle();
  });

  it('is full once so many wait; only who need not wait may still come', async () => {
    const queue = new ModelQueue(1);
    queue.requirePlace(1);
    const running = enter(queue, 1);
    expect(queue.isFull).toBe(false);
    queue.requirePlace(1);
    const waiting = enter(queue, 1);
    expect(queue.isFull).toBe(true);
    expect(() => queue.requirePlace(9)).toThrow(
      expect.objectContaining({
        code: 'QUEUE_FULL',
        message: '1 executions of this model are waiting',
        retryAfterMs: 1_000,
      }),
    );
    running.finish();
    waiting.finish();
    await Promise.all([running.done, waiting.done]);
    const none = new ModelQueue(0);
    expect(none.isFull).toBe(true);
    none.requirePlace(1);
  });

  it('lets go who leaves while it waits, which never runs, and lets the next one pass', async () => {
    const queue = new ModelQueue(10);
    const running = enter(queue, 2);
    const alone = enter(queue, 1);
    const next = enter(queue, 2);
    alone.leave.abort();
    await alone.done;
    expect(began([alone, next])).toEqual([false, true]);
    expect([queue.running, queue.waiting]).toEqual([2, 0]);
    // Of one that runs, the signal is not the queue's.
    let ended = false;
    void next.done.then(() => {
      ended = true;
    });
    next.leave.abort();
    running.leave.abort();
    await settle();
    expect([queue.running, ended]).toEqual([2, false]);
    for (const job of [running, next]) job.finish();
    await Promise.all([running.done, next.done]);
    expect([queue.running, queue.waiting]).toEqual([0, 0]);
  });

  it('passes on what work fails with, and goes on', async () => {
    const queue = new ModelQueue(10);
    const [first, second, third] = [enter(queue, 1), enter(queue, 1), enter(queue, 1)];
    first.fail(new Error('first'));
    await expect(first.done).rejects.toThrow('first');
    second.fail(new Error('second'));
    await expect(second.done).rejects.toThrow('second');
    third.finish();
    await third.done;
    expect([queue.running, queue.waiting]).toEqual([0, 0]);
  });
});
