import { afterEach, describe, expect, it, vi } from 'vitest';
import { sleep } from '../../../../src/manager/state/sleep.js';
import { overlay } from '../fixture.js';

describe('a pause', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it.each<[string, unknown]>([
    ['a page, whose timers are numbers', 7],
    ['an engine whose timers are objects of another kind', {}],
    ['an engine whose timers have an unref that is none', { unref: true }],
    ['an engine that gives nothing', null],
  ])('needs nothing of the timers of %s', async (_name, timer) => {
    const cleared: unknown[] = [];
    let fire: () => void = () => undefined;
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((done: () => void) => {
      fire = done;
      return timer;
    }) as never);
    vi.spyOn(globalThis, 'clearTimeout').mockImplementation((given) => void cleared.push(given));
    const sleeping = sleep(1000, new AbortController().signal);
    fire();
    await sleeping;
    expect(cleared).toEqual([timer]);
  });

  it("keeps no process alive: Node's timers are told so", async () => {
    const unref = vi.fn();
    let waits: unknown;
    let fire: () => void = () => undefined;
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((done: () => void, ms: number) => {
      fire = done;
      waits = ms;
      return { unref };
    }) as never);
    vi.spyOn(globalThis, 'clearTimeout').mockImplementation(() => undefined);
    const sleeping = sleep(1000, new AbortController().signal);
    expect([unref.mock.calls.length, waits]).toEqual([1, 1000]);
    fire();
    await sleeping;
  });

  it('of nothing, or after its signal, sets no timer', async () => {
    const setTimer = vi.spyOn(globalThis, 'setTimeout');
    await sleep(0, new AbortController().signal);
    await sleep(-5, new AbortController().signal);
    await sleep(5, AbortSignal.abort());
    expect(setTimer).not.toHaveBeenCalled();
  });
});

describe('sleep', () => {
  it('ends early with its signal, at once if that has fired or there is nothing to wait for', async () => {
    const aborting = new AbortController();
    const sleeping = sleep(60_000, aborting.signal);
    aborting.abort();
    await sleeping;
    await sleep(60_000, aborting.signal);
    const { signal } = new AbortController();
    await sleep(0, signal);
    await sleep(-1, signal);
    expect(aborting.signal.aborted).toBe(true);
  });

  it('waits otherwise, and leaves no listener behind', async () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const watched = overlay(signal, {
      addEventListener: () => listeners++,
      removeEventListener: () => listeners--,
    });
    let slept = false;
    const sleeping = sleep(5, watched).then(() => {
      slept = true;
    });
    await Promise.resolve();
    expect([slept, listeners]).toEqual([false, 1]);
    await sleeping;
    expect(listeners).toBe(0);
  });
});
