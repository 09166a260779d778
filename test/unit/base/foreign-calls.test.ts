import { describe, expect, it, vi } from 'vitest';
import { type Ending, endError, firstEnd } from '../../../src/base/ending.js';
import { isVramError, VramError } from '../../../src/base/errors.js';
import { ForeignCalls } from '../../../src/base/foreign-calls.js';
import { systemTimer } from '../../../src/base/timer.js';
import { failure, TestClock } from '../manager/fixture.js';

const stalled = (): VramError => new VramError('SOURCE_MISMATCH', 'nothing came');

/** A promise, and how to settle it. */
function open<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

function calls(): { clock: TestClock; foreign: ForeignCalls } {
  const clock = new TestClock();
  return { clock, foreign: new ForeignCalls((ms, fire) => clock.after(ms, fire)) };
}

describe('a call into foreign code', () => {
  it('that answers in time is its answer, and leaves no timer and no listener', async () => {
    const { clock, foreign } = calls();
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, 'addEventListener');
    const removed = vi.spyOn(signal, 'removeEventListener');
    const answer = open<number>();
    const call = foreign.run(() => answer.promise, { limitMs: 100, stalled, ends: [signal, undefined] });
    clock.turn(99);
    expect(clock.waiting).toBe(1);
    answer.resolve(7);
    expect(await call).toBe(7);
    expect(clock.waiting).toBe(0);
    expect([added.mock.calls.length, removed.mock.calls.length]).toEqual([1, 1]);
    expect(foreign.abandoned).toEqual({ total: 0, settled: 0 });
  });

  it('fails as it fails, also at once', async () => {
    const { foreign } = calls();
    const own = new Error('mine');
    expect(await failure(foreign.run(() => Promise.reject(own), {}))).toBe(own);
    const thrown = foreign.run(() => {
      throw own;
    }, {});
    expect(await failure(thrown)).toBe(own);
    expect(foreign.abandoned).toEqual({ total: 0, settled: 0 });
  });

  it('is made before run() returns', () => {
    let made = false;
    void calls().foreign.run(() => {
      made = true;
    }, {});
    expect(made).toBe(true);
  });

  it('is given up at the limit, told so by its signal, and what it does later is dropped and counted', async () => {
    const { clock, foreign } = calls();
    const answers = [open<number>(), open<number>()] as const;
    const told: unknown[] = [];
    const late: number[] = [];
    const waits = answers.map(({ promise }) =>
      failure(
        foreign.run(
          (signal) => {
            signal.addEventListener('abort', () => told.push(signal.reason));
            return promise;
          },
          { limitMs: 100, stalled, onLate: (value) => late.push(value) },
        ),
      ),
    );
    clock.turn(100);
    const errors = await Promise.all(waits);
    for (const error of errors)
      expect(error).toMatchObject({ code: 'SOURCE_MISMATCH', message: 'nothing came' });
    expect(told).toEqual(errors);
    expect(foreign.abandoned).toEqual({ total: 2, settled: 0 });
    answers[0].resolve(5);
    answers[1].reject(new Error('too late'));
    await Promise.allSettled(answers.map(({ promise }) => promise));
    expect(late).toEqual([5]);
    expect(foreign.abandoned).toEqual({ total: 2, settled: 2 });
  });

  it('that gives signs of life is waited for until they end', async () => {
    const { clock, foreign } = calls();
    let aliveAt = clock.monotonic();
    const limits = { limitMs: 100, stalled, idleMs: () => clock.monotonic() - aliveAt };
    const call = failure(foreign.run(() => new Promise(() => undefined), limits));
    clock.turn(60);
    aliveAt = clock.monotonic();
    clock.turn(40);
    clock.turn(59);
    expect(foreign.abandoned.total).toBe(0);
    clock.turn(1);
    expect(await call).toMatchObject({ code: 'SOURCE_MISMATCH' });
    expect(clock.waiting).toBe(0);
  });

  it('is given up when one of the ends has ended: ABORTED for a signal, else its own reason', async () => {
    const { clock, foreign } = calls();
    const aborting = new AbortController();
    const aborted = foreign.run(() => new Promise(() => undefined), {
      limitMs: 100,
      stalled,
      ends: [aborting.signal],
    });
    aborting.abort('why');
    expect(await failure(aborted)).toMatchObject({ code: 'ABORTED', cause: 'why' });
    const lost = new VramError('DEVICE_LOST', 'gone');
    let end: (reason: unknown) => void = () => undefined;
    let watched = 0;
    const ending: Ending = {
      onEnd: (watcher) => {
        watched++;
        end = watcher;
        return () => void watched--;
      },
    };
    const ended = foreign.run(() => new Promise(() => undefined), { limitMs: 100, stalled, ends: [ending] });
    end(lost);
    expect(await failure(ended)).toBe(lost);
    // One that has ended before: the call is made, and not waited for. Nothing is left behind.
    let made = 0;
    const late = foreign.run(() => new Promise(() => made++), {
      limitMs: 100,
      stalled,
      ends: [aborting.signal, ending],
    });
    expect(await failure(late)).toMatchObject({ code: 'ABORTED' });
    expect([made, watched, clock.waiting]).toEqual([1, 0, 0]);
    expect(foreign.abandoned.total).toBe(3);
  });
});

describe('what has ended', () => {
  it('is told by the first of several', () => {
    const lost = new VramError('DEVICE_LOST', 'gone');
    const ending: Ending = {
      onEnd: (watcher) => {
        watcher(lost);
        return () => undefined;
      },
    };
    const { signal } = new AbortController();
    expect(firstEnd([undefined, signal])).toBeNull();
    expect(firstEnd([signal, ending, AbortSignal.abort()])).toBe(lost);
    expect(isVramError(firstEnd([AbortSignal.abort(), ending]), 'ABORTED')).toBe(true);
    // A caller may abort with anything, also with an error of this library.
    expect(endError(AbortSignal.abort(lost), lost)).toMatchObject({ code: 'ABORTED', cause: lost });
    expect(endError(ending, 'a text')).toMatchObject({ code: 'ABORTED', cause: 'a text' });
  });
});

describe("the platform's timer", () => {
  it('fires once, unless it is called off, and keeps no process alive', async () => {
    const unref = vi.spyOn(Object.getPrototypeOf(setTimeout(() => undefined, 0)), 'unref');
    const fired: number[] = [];
    systemTimer(0, () => fired.push(1))();
    await new Promise<void>((resolve) => {
      systemTimer(1, () => {
        fired.push(2);
        resolve();
      });
      // A timer that may keep it alive, so that the one above has its time.
      setTimeout(() => undefined, 50);
    });
    expect(fired).toEqual([2]);
    expect(unref).toHaveBeenCalledTimes(2);
    unref.mockRestore();
  });
});
